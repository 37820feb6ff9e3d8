#include "fused/moe_permute.h"

#include "graph/fused_op.h"

namespace fathom {
namespace {

// Operands of both: the moved rows, slot_of_row [m], row_of_slot [tok k].
const Axis& row_axis(const Value& slot_of_row) { return slot_of_row.shape()[0]; }

void check(const InferContext& c, int moved_rank) {
  const Shape& slots = c.type(2).shape;
  if (c.type(0).shape.rank() != moved_rank || c.type(1).shape.rank() != 1 || slots.rank() != 2) {
    c.fail("rows move by slot_of_row [m] and row_of_slot [tok k]");
  }
  if (slots.elements() != c.type(1).shape.elements()) c.fail("the two orders have different numbers of slots");
}

std::vector<TensorType> infer_rows(const InferContext& c) {
  check(c, 2);
  const TensorType& x = c.type(0);
  if (x.shape[0] != c.type(2).shape[0]) c.fail("the rows of x are not the tokens of row_of_slot");
  return {{x.dtype, Shape{c.type(1).shape[0], x.shape[1]}}};
}

std::vector<TensorType> infer_slots(const InferContext& c) {
  check(c, 2);
  const TensorType& y = c.type(0);
  if (y.shape[0] != c.type(1).shape[0]) c.fail("the rows of y are not those of slot_of_row");
  return {{y.dtype, Shape{c.type(2).shape[0], c.type(2).shape[1], y.shape[1]}}};
}

std::vector<Value> gather_rows(const std::vector<Value>& operands, const FusedAttrs&, Graph&) {
  int64_t choices = operands[2].shape()[1].size;
  return {gather(operands[0], operands[1] / choices, operands[0].shape()[0].name)};
}

std::vector<Value> gather_slots(const std::vector<Value>& operands, const FusedAttrs&, Graph&) {
  return {gather(operands[0], operands[2], row_axis(operands[1]).name)};
}

// dx[tok] = sum over the token's slots of dy[row of the slot]; the sum is float32.
void vjp_rows(VjpContext& c) {
  Value dy = c.cotangent();
  if (!dy || !c.wants(0)) return;
  Value slots = c.operand(2);
  Value parts = convert(gather(dy, slots, row_axis(c.operand(1)).name), DType::kF32);
  c.add(0, convert(reduce_sum(parts, slots.shape()[1].name), dy.dtype()));
}

// dy[row] = dz[slot of the row]
void vjp_slots(VjpContext& c) {
  Value dz = c.cotangent();
  if (!dz || !c.wants(0)) return;
  const Shape& shape = dz.shape();
  Value flat = merge_axes(dz, shape[0].name + " " + shape[1].name, "slot");
  c.add(0, gather(flat, c.operand(1), "slot"));
}

const FusedOp kRows{.name = "rows_of_tokens",
                    .infer = infer_rows,
                    .reference = gather_rows,
                    .vjp = vjp_rows,
                    .forms = kPlainOpsEverywhere,
                    .light = true};
const FusedOp kSlots{.name = "slots_of_rows",
                     .infer = infer_slots,
                     .reference = gather_slots,
                     .vjp = vjp_slots,
                     .forms = kPlainOpsEverywhere};

}  // namespace

Value rows_of_tokens(Value x, const RowOrder& order, Where where) {
  return fused(x.graph(), kRows, {x, order.slot_of_row, order.row_of_slot}, {}, where)[0];
}

Value slots_of_rows(Value y, const RowOrder& order, Where where) {
  return fused(y.graph(), kSlots, {y, order.slot_of_row, order.row_of_slot}, {}, where)[0];
}

}  // namespace fathom
