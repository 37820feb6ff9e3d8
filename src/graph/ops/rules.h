// The shape rules and VJPs of all ops with a row in table.cc. Each stands in its family's file, beside the op's
// builder.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace fathom {

using Types = std::vector<TensorType>;

// leaves.cc
Types infer_constant(const InferContext& c);
Types infer_empty(const InferContext& c);
Types infer_iota(const InferContext& c);

// elementwise.cc
Types infer_float(const InferContext& c);   // one float operand
Types infer_signed(const InferContext& c);  // one float or signed integer operand
Types infer_not(const InferContext& c);
Types infer_is_finite(const InferContext& c);
Types infer_convert(const InferContext& c);
Types infer_bitcast(const InferContext& c);
Types infer_arithmetic(const InferContext& c);  // numbers of one type
Types infer_bits(const InferContext& c);        // two integers or two bools
Types infer_integers(const InferContext& c);
Types infer_compare(const InferContext& c);
Types infer_select(const InferContext& c);
void vjp_neg(VjpContext& c);
void vjp_exp(VjpContext& c);
void vjp_log(VjpContext& c);
void vjp_tanh(VjpContext& c);
void vjp_logistic(VjpContext& c);
void vjp_sqrt(VjpContext& c);
void vjp_rsqrt(VjpContext& c);
void vjp_sin(VjpContext& c);
void vjp_cos(VjpContext& c);
void vjp_convert(VjpContext& c);
void vjp_add(VjpContext& c);
void vjp_sub(VjpContext& c);
void vjp_mul(VjpContext& c);
void vjp_div(VjpContext& c);
void vjp_max(VjpContext& c);
void vjp_min(VjpContext& c);
void vjp_pow(VjpContext& c);
void vjp_select(VjpContext& c);
void vjp_clamp(VjpContext& c);

// marks.cc
Types infer_rename(const InferContext& c);
Types infer_same(const InferContext& c);  // every result is its operand
Types infer_saved(const InferContext& c);
Types infer_shard(const InferContext& c);
Types infer_custom_call(const InferContext& c);
void vjp_rename(VjpContext& c);
void vjp_same(VjpContext& c);
void vjp_saved(VjpContext& c);
void vjp_shard(VjpContext& c);

// shape.cc
Types infer_broadcast(const InferContext& c);
Types infer_reshape(const InferContext& c);
Types infer_transpose(const InferContext& c);
void vjp_broadcast(VjpContext& c);
void vjp_reshape(VjpContext& c);
void vjp_transpose(VjpContext& c);

// slice.cc
Types infer_concatenate(const InferContext& c);
Types infer_slice(const InferContext& c);
Types infer_split(const InferContext& c);
Types infer_pad(const InferContext& c);
Types infer_dynamic_slice(const InferContext& c);
Types infer_dynamic_update_slice(const InferContext& c);
void vjp_concatenate(VjpContext& c);
void vjp_slice(VjpContext& c);
void vjp_split(VjpContext& c);
void vjp_pad(VjpContext& c);
void vjp_dynamic_slice(VjpContext& c);
void vjp_dynamic_update_slice(VjpContext& c);

// reduce.cc
Types infer_reduce(const InferContext& c);
void vjp_reduce_sum(VjpContext& c);
void vjp_reduce_extreme(VjpContext& c);

// dot.cc
Types infer_dot(const InferContext& c);
void vjp_dot(VjpContext& c);

// ragged_dot.cc
Types infer_ragged_dot(const InferContext& c);

// gather.cc
Types infer_gather(const InferContext& c);
Types infer_scatter_add(const InferContext& c);
void vjp_gather(VjpContext& c);
void vjp_scatter_add(VjpContext& c);

// sort.cc
Types infer_sort(const InferContext& c);
Types infer_top_k(const InferContext& c);
void vjp_sort(VjpContext& c);
void vjp_top_k(VjpContext& c);

// collective.cc
Types infer_partition_id(const InferContext& c);
Types infer_all_gather(const InferContext& c);
Types infer_all_reduce(const InferContext& c);
Types infer_reduce_scatter(const InferContext& c);
Types infer_all_to_all(const InferContext& c);
Types infer_ring_shift(const InferContext& c);

}  // namespace fathom
