#include "decode/complete.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "session/batch_io.h"

namespace fathom {
namespace {

// The devices that share the rows have one each, and those that share a row equal parts of it.
BatchShape shape_for(const StateSpec& spec, int64_t length) {
  auto parts = [&](std::string_view axis) {
    return spec.partition ? spec.partition->devices(spec.partition->activation_axes(axis)) : 1;
  };
  const int64_t places = parts("s");
  return {.rows = parts("b"), .length = (length + places - 1) / places * places};
}

}  // namespace

std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const Config& config, std::string_view source,
                                const std::string& prompt) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  if (config.add_bos && tokenizer.bos_id()) ids.insert(ids.begin(), *tokenizer.bos_id());
  if (ids.empty()) throw ConfigError(fmt::format("{}: there is no token to go on from; give a text", source));
  return ids;
}

GreedyCompletion::GreedyCompletion(const Session& session, const Config& config, const StateSpec& spec, int64_t length)
    : session_(session),
      shape_(shape_for(spec, length)),
      program_(session.compile([&] { return next_token(config, spec, shape_); })) {}

std::vector<int32_t> GreedyCompletion::run(State& state, std::vector<int32_t> prompt, int64_t count,
                                           int32_t eos) const {
  const int64_t longest = static_cast<int64_t>(prompt.size()) + count - 1;
  if (prompt.empty() || longest > shape_.length) {
    throw std::logic_error("GreedyCompletion: no token to go on from, or too many");
  }
  // The first row alone is not padding.
  auto rows = [&](std::string_view name, auto value) {
    HostArray a = HostArray::allocate(DType::kS32, {shape_.rows, shape_.length});
    auto view = a.mutable_view<int32_t>();
    std::ranges::fill(view, 0);
    for (int64_t i = 0; i < shape_.length; ++i) view[static_cast<size_t>(i)] = value(i);
    return session_.upload(a, argument(program_.signature, name).sharding);
  };
  NamedArrays inputs;
  // Attention is causal, so what stands behind the last token does not matter.
  inputs["inputs_position"] = rows("inputs_position", [](int64_t i) { return static_cast<int32_t>(i); });
  inputs["inputs_segmentation"] = rows("inputs_segmentation", [](int64_t) { return 1; });
  std::vector<int32_t> made;
  while (std::ssize(made) < count && (made.empty() || made.back() != eos)) {
    inputs["inputs"] =
        rows("inputs", [&](int64_t k) { return k < std::ssize(prompt) ? prompt[static_cast<size_t>(k)] : 0; });
    HostArray place = HostArray::allocate(DType::kS32, {});
    place.mutable_view<int32_t>()[0] = static_cast<int32_t>(prompt.size()) - 1;
    inputs["last"] = session_.upload(place);
    made.push_back(run_on(session_, program_, state, inputs).at("token").to_host().view<int32_t>()[0]);
    prompt.push_back(made.back());
  }
  return made;
}

}  // namespace fathom
