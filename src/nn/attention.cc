#include "nn/attention.h"

#include "kernels/abi.h"

namespace fathom {
Value visible_keys(Value segments, Where where) {
  Graph& g = segments.graph();
  const Axis batch = segments.shape()[0];
  const int64_t length = segments.size("s");
  Shape pair{{"s", length}, {"t", length}};
  Shape all{batch, pair[0], pair[1]};
  Value causal = less_equal(iota(g, DType::kS32, pair, "t", where), iota(g, DType::kS32, pair, "s", where));
  Value same = equal(broadcast(segments, all, where), broadcast(rename(segments, "s", "t", where), all, where));
  return logical_and(same, broadcast(causal, all, where));
}

Value plain_attention(const AttentionInputs& in, Value visible, Where where) {
  Value scores = dot(in.q, in.k, "w", {.out = DType::kF32}, where);
  scores = select(broadcast(visible, scores.shape()), scores, abi::kMasked, where);
  // The softmax in two parts: the sum divides the few outputs instead of the many weights.
  Value weights = exp(scores - stop_gradient(reduce_max(scores, "t", where)));
  Value sum = reduce_sum(weights, "t", where);
  Value out = dot(convert(weights, in.v.dtype()), in.v, "t", {.out = DType::kF32}, where);
  return convert(out / sum, in.v.dtype(), where);
}

}  // namespace fathom
