#include "decode/complete.h"

#include <stdexcept>

namespace fathom {

std::vector<int32_t> complete_greedily(const Session& session, const Config& config, const StateSpec& spec,
                                       State& state, std::vector<int32_t> prompt, int64_t count, int32_t eos,
                                       const std::function<void(int32_t)>& each) {
  if (prompt.empty()) throw std::logic_error("complete_greedily: no token to go on from");
  const int64_t length = static_cast<int64_t>(prompt.size()) + count;
  Compiled program = session.compile([&] { return next_token(config, spec, {1, length}); });
  auto row = [&](auto value) {
    HostArray a = HostArray::allocate(DType::kS32, {1, length});
    for (int64_t i = 0; i < length; ++i) a.mutable_view<int32_t>()[static_cast<size_t>(i)] = value(i);
    return session.upload(a);
  };
  NamedArrays inputs;
  // Attention is causal, so what stands behind the last token does not matter.
  inputs["inputs_position"] = row([](int64_t i) { return static_cast<int32_t>(i); });
  inputs["inputs_segmentation"] = row([](int64_t) { return 1; });
  std::vector<int32_t> made;
  for (int64_t i = 0; i < count; ++i) {
    inputs["inputs"] =
        row([&](int64_t k) { return k < static_cast<int64_t>(prompt.size()) ? prompt[static_cast<size_t>(k)] : 0; });
    HostArray place = HostArray::allocate(DType::kS32, {});
    place.mutable_view<int32_t>()[0] = static_cast<int32_t>(prompt.size()) - 1;
    inputs["last"] = session.upload(place);
    const int32_t token = run_on(session, program, state, inputs).at("token").to_host().view<int32_t>()[0];
    made.push_back(token);
    prompt.push_back(token);
    each(token);
    if (token == eos) break;
  }
  return made;
}

}  // namespace fathom
