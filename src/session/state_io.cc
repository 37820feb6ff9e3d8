#include "session/state_io.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "convert/hf_weights.h"
#include "program/initial_values.h"

namespace fathom {
namespace {

void draw(const Session& session, const Config& config, const StateSpec& spec, const StateChoice& choice,
          State& state) {
  Compiled init = session.compile([&] { return init_state(spec, choice); });
  NamedArrays inputs;
  inputs.emplace("seed", session.upload(seed_words(config.init_weights_seed)));
  state.take(run_on(session, init, state, inputs));
}

}  // namespace

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

std::vector<std::pair<std::string, float>> listed_scalars(const Signature& signature, std::string_view result,
                                                          const HostArray& values) {
  auto spec = std::ranges::find(signature.results, result, &ResultSpec::name);
  auto numbers = values.view<float>();
  if (spec == signature.results.end() || spec->elements.size() != numbers.size()) {
    throw std::logic_error("the program has no scalars " + std::string(result));
  }
  std::vector<std::pair<std::string, float>> out;
  for (size_t i = 0; i < numbers.size(); ++i) out.emplace_back(spec->elements[i], numbers[i]);
  return out;
}

std::map<std::string, float, std::less<>> named_scalars(const Signature& signature, std::string_view result,
                                                        const HostArray& values) {
  auto list = listed_scalars(signature, result, values);
  return {list.begin(), list.end()};
}

void load_parameters(const Session& session, const std::string& path, const StateSpec& spec, State& state) {
  if (!TensorFolder::is_model_folder(path)) {
    throw ConfigError(fmt::format(
        "load_parameters_path: {} is no folder with model.safetensors or model.safetensors.index.json", path));
  }
  const HfWeights weights(TensorFolder::open(path), {spec.model, spec.table, spec.arrays});
  for (size_t i : spec.parameters()) {
    const StateEntry& entry = spec.entries[i];
    state[i] = session.fill({entry.type.dtype, entry.type.shape.sizes(), entry.sharding},
                            [&](std::span<const SliceMemory> slices) { weights.fill(entry.array, slices); });
  }
}

State make_state(const Session& session, const Config& config, const StateSpec& spec) {
  State state(spec);
  if (config.load_parameters_path.empty()) {
    draw(session, config, spec, every_entry, state);
  } else {
    load_parameters(session, config.load_parameters_path, spec, state);
    draw(session, config, spec, all_but_parameters, state);
  }
  return state;
}

}  // namespace fathom
