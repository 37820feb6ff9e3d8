#include "decode/complete.h"

#include <algorithm>

namespace fathom {

std::vector<int32_t> complete_greedily(const Session& session, const Config& config, const StateLayout& layout,
                                       std::vector<ShardedArray>& parameters, std::vector<int32_t> prompt,
                                       int64_t count, int32_t eos, const std::function<void(int32_t)>& each) {
  int64_t length = static_cast<int64_t>(prompt.size()) + count;
  Compiled program = session.compile([&] { return next_token(config, layout, {1, length}); });
  auto row = [&](auto value) {
    HostArray a = HostArray::allocate(DType::kS32, {1, length});
    for (int64_t i = 0; i < length; ++i) a.mutable_view<int32_t>()[static_cast<size_t>(i)] = value(i);
    return a;
  };
  // Attention is causal, so what stands behind the last token does not matter.
  ShardedArray positions = session.upload(row([](int64_t i) { return static_cast<int32_t>(i); }));
  ShardedArray segments = session.upload(row([](int64_t) { return 1; }));
  std::vector<int32_t> made;
  for (int64_t i = 0; i < count; ++i) {
    ShardedArray tokens = session.upload(
        row([&](int64_t k) { return k < static_cast<int64_t>(prompt.size()) ? prompt[static_cast<size_t>(k)] : 0; }));
    HostArray place = HostArray::allocate(DType::kS32, {});
    place.mutable_view<int32_t>()[0] = static_cast<int32_t>(prompt.size()) - 1;
    ShardedArray last = session.upload(place);
    std::vector<ShardedArray*> arguments;
    for (ShardedArray& b : parameters) arguments.push_back(&b);
    for (ShardedArray* b : {&tokens, &positions, &segments, &last}) arguments.push_back(b);
    int32_t token = session.run(program, arguments).results[0].to_host().view<int32_t>()[0];
    made.push_back(token);
    prompt.push_back(token);
    each(token);
    if (token == eos) break;
  }
  return made;
}

}  // namespace fathom
