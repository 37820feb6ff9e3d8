#include "fused/expert_output.h"

#include "fused/fp8_grouped.h"
#include "fused/gated_silu.h"
#include "graph/fused_op.h"

namespace fathom {
namespace {

// Operands: gate [m f], up [m f], w_down [e d f], weights [tok k], group_sizes [e], slot_of_row [m], row_of_slot
// [tok k]. FusedAttrs::ints: {activations_in_float32, fp8}.

bool in_float32(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }
ExpertProducts products_of(const FusedAttrs& attrs) { return {.fp8 = attrs.ints.at(1) != 0}; }

std::vector<TensorType> infer(const InferContext& c) {
  const TensorType &gate = c.type(0), &w = c.type(2), &weights = c.type(3);
  if (gate != c.type(1) || gate.shape.rank() != 2) c.fail("expert_output takes gate and up [m f] of one type");
  if (w.shape.rank() != 3 || w.dtype != gate.dtype || w.shape[2] != gate.shape[1]) {
    c.fail("expert_output takes matrices [e d f] of the rows' type");
  }
  if (weights.dtype != DType::kF32 || weights.shape != c.type(6).shape) {
    c.fail("expert_output takes an f32 weight for each choice [tok k]");
  }
  return {{gate.dtype, Shape{weights.shape[0], w.shape[1]}}};
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const Value &w_down = in[2], &weights = in[3], &sizes = in[4];
  Value hidden = gated_silu(in[0], in[1], in_float32(attrs));
  Value out = products_of(attrs).matmul(hidden, w_down, sizes);
  Value slots = convert(slots_of_rows(out, {in[5], in[6]}), DType::kF32);  // [tok k d]
  return {convert(reduce_sum(slots * weights, weights.shape()[1].name), hidden.dtype())};
}

// With h = silu(gate) up and y = sum over k of weight (h W^T), of a token's row:
//   dh = weight dy W,  dweight = <dy, h W^T> = <dy W, h>,  dW = dy^T (weight h)
// so that h W^T is not kept, and h is made again.
void vjp(VjpContext& c) {
  Value dy = c.cotangent();
  if (!dy) return;
  const bool wide = in_float32(c.node().attr<FusedAttrs>());
  const ExpertProducts products = products_of(c.node().attr<FusedAttrs>());
  const RowOrder order{c.operand(5), c.operand(6)};
  Value gate = c.operand(0), up = c.operand(1), w_down = c.operand(2), weights = c.operand(3), sizes = c.operand(4);
  const std::string rows = gate.shape()[0].name, inner = gate.shape()[1].name;
  const Shape& slots = weights.shape();

  Value d_rows = rows_of_tokens(dy, order);  // [m d]
  Value weight = gather(merge_axes(weights, slots[0].name + " " + slots[1].name, "slot"), order.slot_of_row, "slot");
  Value hidden = convert(gated_silu(gate, up, wide), DType::kF32);
  if (c.wants(2)) c.add(2, products.outer(d_rows, convert(hidden * weight, dy.dtype()), sizes));
  Value unscaled = convert(products.matmul(d_rows, w_down, sizes, true), DType::kF32);  // dy W [m f]
  if (c.wants(3)) c.add(3, gather(reduce_sum(unscaled * hidden, inner), order.row_of_slot, rows));
  GatedSiluGrad d = gated_silu_grad(gate, up, unscaled * weight, wide);
  if (c.wants(0)) c.add(0, d.gate);
  if (c.wants(1)) c.add(1, d.up);
}

// The ops it is made of have forms of their own.
const FusedOp kOutput{
    .name = "expert_output", .infer = infer, .reference = reference, .vjp = vjp, .forms = kPlainOpsEverywhere};

}  // namespace

Value expert_output(const ProjectedRows& rows, Value w_down, Value weights, const ExpertOutputOptions& options,
                    Where where) {
  FusedAttrs attrs{.ints = {options.activations_in_float32 ? 1 : 0, options.fp8 ? 1 : 0}};
  return fused(w_down.graph(), kOutput,
               {rows.gate, rows.up, w_down, weights, rows.group_sizes, rows.order.slot_of_row, rows.order.row_of_slot},
               std::move(attrs), where)[0];
}

}  // namespace fathom
