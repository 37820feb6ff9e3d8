#include "session/state_io.h"

#include <algorithm>
#include <stdexcept>

namespace fathom {

ShardedArray* State::find(std::string_view name) {
  auto at = spec_->index_of.find(name);
  return at == spec_->index_of.end() ? nullptr : &arrays_[at->second];
}

void State::take(NamedArrays arrays) {
  for (auto& [name, array] : arrays) at(name) = std::move(array);
}

NamedArrays run_on(const Session& session, const Compiled& program, State& state, NamedArrays& inputs) {
  const Signature& signature = program.signature;
  std::vector<ShardedArray*> arguments;
  for (const ArgSpec& arg : signature.args) {
    ShardedArray* array = state.find(arg.name);
    if (array == nullptr) {
      auto input = inputs.find(arg.name);
      if (input == inputs.end()) throw std::logic_error("nothing is given for the argument " + arg.name);
      array = &input->second;
    }
    arguments.push_back(array);
  }
  std::vector<ShardedArray> results = session.run(program, arguments).results;
  std::vector<bool> taken(results.size());
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!signature.args[i].donated_to) continue;
    const size_t result = static_cast<size_t>(*signature.args[i].donated_to);
    *arguments[i] = std::move(results[result]);
    taken[result] = true;
  }
  NamedArrays out;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!taken[i]) out.emplace(signature.results[i].name, std::move(results[i]));
  }
  return out;
}

namespace {

// The names of the numbers that a result holds.
const std::vector<std::string>& elements_of(const Signature& signature, std::string_view result, size_t count) {
  auto spec = std::ranges::find(signature.results, result, &ResultSpec::name);
  if (spec == signature.results.end() || spec->elements.size() != count) {
    throw std::logic_error("the program has no scalars " + std::string(result));
  }
  return spec->elements;
}

}  // namespace

std::vector<std::pair<std::string, float>> listed_scalars(const Signature& signature, std::string_view result,
                                                          const HostArray& values) {
  auto numbers = values.view<float>();
  const std::vector<std::string>& names = elements_of(signature, result, numbers.size());
  std::vector<std::pair<std::string, float>> out;
  for (size_t i = 0; i < numbers.size(); ++i) out.emplace_back(names[i], numbers[i]);
  return out;
}

std::map<std::string, int64_t, std::less<>> named_counts(const Signature& signature, std::string_view result,
                                                         const HostArray& values) {
  auto numbers = values.view<int32_t>();
  const std::vector<std::string>& names = elements_of(signature, result, numbers.size());
  std::map<std::string, int64_t, std::less<>> out;
  for (size_t i = 0; i < numbers.size(); ++i) out.emplace(names[i], numbers[i]);
  return out;
}

std::map<std::string, float, std::less<>> named_scalars(const Signature& signature, std::string_view result,
                                                        const HostArray& values) {
  auto list = listed_scalars(signature, result, values);
  return {list.begin(), list.end()};
}

}  // namespace fathom
