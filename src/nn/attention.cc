#include "nn/attention.h"

#include "kernels/abi.h"

namespace fathom {
namespace {

// [b s t]: key t is not after query s and in its segment.
Value visible_keys(Value segments) {
  Graph& g = segments.graph();
  const Axis batch = segments.shape()[0];
  const int64_t length = segments.size("s");
  Shape pair{{"s", length}, {"t", length}};
  Shape all{batch, pair[0], pair[1]};
  Value causal = less_equal(iota(g, DType::kS32, pair, "t"), iota(g, DType::kS32, pair, "s"));
  Value same = equal(broadcast(segments, all), broadcast(rename(segments, "s", "t"), all));
  return logical_and(same, broadcast(causal, all));
}

}  // namespace

Value plain_attention(const AttentionInputs& in, Where where) {
  Value scores = dot(in.q, in.k, "w", {.out = DType::kF32}, where);
  scores = select(broadcast(visible_keys(in.segments), scores.shape()), scores, abi::kMasked, where);
  // The softmax in two parts: the sum divides the few outputs instead of the many weights.
  Value weights = exp(scores - stop_gradient(reduce_max(scores, "t", where)));
  Value sum = reduce_sum(weights, "t", where);
  Value out = dot(convert(weights, in.v.dtype()), in.v, "t", {.out = DType::kF32}, where);
  return convert(out / sum, in.v.dtype(), where);
}

Value blockwise_attention(const AttentionInputs& in, const FlashOptions& options, Where where) {
  return flash_attention(in.q, in.k, in.v, in.segments, options, where);
}

}  // namespace fathom
