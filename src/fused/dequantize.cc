#include "fused/dequantize.h"

#include <fmt/format.h>

#include "graph/fused_op.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// FusedAttrs::ints: {dtype of the result}.
DType made(const FusedAttrs& attrs) { return static_cast<DType>(attrs.ints.at(0)); }

// Columns of a row of q.
int64_t columns(const Shape& q, const Shape& scales) {
  int64_t out = 1;
  for (int i = scales.rank() - 1; i < q.rank(); ++i) out *= q[i].size;
  return out;
}

std::vector<TensorType> infer(const InferContext& c) {
  const Shape &q = c.type(0).shape, &scales = c.type(1).shape;
  if (c.type(0).dtype != DType::kS8 || c.type(1).dtype != DType::kF32) c.fail("dequantize takes s8 and f32 scales");
  if (scales.rank() < 1 || scales.rank() > q.rank()) c.fail("there is a scale for each group of each row");
  for (int i = 0; i + 1 < scales.rank(); ++i) {
    if (scales[i] != q[i]) c.fail(fmt::format("the rows of the scales are not those of the weights: '{}'", q[i].name));
  }
  const int64_t groups = (columns(q, scales) + abi::kScaleGroup - 1) / abi::kScaleGroup;
  if (scales[scales.rank() - 1].size != groups) c.fail(fmt::format("each row has {} groups", groups));
  return {{made(c.attr<FusedAttrs>()), q}};
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  Value q = in[0], scales = in[1];
  const Shape& groups = scales.shape();
  std::vector<Axis> spread = groups.axes(), whole(groups.begin(), groups.end() - 1);
  spread.push_back({"in_group", abi::kScaleGroup});
  whole.push_back({"column", groups[groups.rank() - 1].size * abi::kScaleGroup});
  Value each = reshape(broadcast(scales, Shape(spread)), Shape(whole));
  each = reshape(slice(each, "column", 0, columns(q.shape(), groups)), q.shape());
  return {convert(convert(q, DType::kF32) * each, made(attrs))};
}

const FusedOp kDequantize{
    .name = "dequantize", .infer = infer, .reference = reference, .vjp = nullptr, .forms = kPlainOpsEverywhere};

}  // namespace

Value dequantize(Value q, Value scales, DType dtype, Where where) {
  return fused(q.graph(), kDequantize, {q, scales}, {.ints = {static_cast<int64_t>(dtype)}}, where)[0];
}

std::optional<QuantizedWeight> quantized_weight(Value w) {
  const Node& node = w.node();
  if (node.op != Op::kFused || node.attr<FusedAttrs>().op != &kDequantize) return {};
  return QuantizedWeight{node.operands[0], node.operands[1]};
}

}  // namespace fathom
