#include "fused/sum_of_squares.h"

#include "fused/kernel_call.h"
#include "graph/manual.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// FusedAttrs::shardings: {x}.

std::vector<TensorType> infer(const InferContext& c) {
  if (!is_float(c.type(0).dtype)) c.fail("sum_of_squares takes floats");
  return {{DType::kF32, {}}};
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  Value x = convert(in[0], DType::kF32);
  return {reduce_sum(x * x, "")};
}

std::vector<Value> kernel(LoweringContext& c, std::string& reason) {
  if (!takes_kernel(c, abi::kSumOfSquares, 1, reason)) return {};
  return call_kernel(c, abi::kSumOfSquares);
}

// Each device sums its part.
std::optional<ShardedForm> shard(const Node& node, const Partition&, const Target& target) {
  if (!target.has(abi::kSumOfSquares)) return std::nullopt;
  Sharding split = node.attr<FusedAttrs>().shardings.at(0);
  ShardedForm form{.in = {split}, .out = {{}}, .body = {}};
  form.body = [split](std::span<const Value> local) {
    return std::vector<Value>{all_reduce(sum_of_squares(local[0]), split_axes(split))};
  };
  return form;
}

const FusedOp kSum{.name = "sum_of_squares",
                   .infer = infer,
                   .reference = reference,
                   .vjp = nullptr,
                   .forms = {.cpu = kernel, .gpu = plain_ops, .tpu = plain_ops},
                   .shard = shard};

}  // namespace

Value sum_of_squares(Value x, const Sharding& split, Where where) {
  return fused(x.graph(), kSum, {x}, {.shardings = {split}}, where)[0];
}

}  // namespace fathom
