#include "fused/capped_rows.h"

#include "graph/fused_op.h"

namespace fathom {
namespace {

// Operands of both: what is moved, slot_of_place [b p], place_of_slot [b s k].
void check(const InferContext& c, int axis, std::string_view name) {
  const Shape &moved = c.type(0).shape, &places = c.type(1).shape, &slots = c.type(2).shape;
  if (moved.rank() != 3 || places.rank() != 2 || slots.rank() != 3) {
    c.fail("tokens move to places by slot_of_place [b p] and place_of_slot [b s k]");
  }
  const Shape& given = axis == 0 ? slots : places;
  if (moved[0] != given[0] || moved[1] != given[1]) c.fail(fmt::format("the rows of {} have other places", name));
}

std::vector<TensorType> infer_places(const InferContext& c) {
  check(c, 0, "x");
  const TensorType& x = c.type(0);
  return {{x.dtype, Shape{x.shape[0], c.type(1).shape[1], x.shape[2]}}};
}

std::vector<TensorType> infer_slots(const InferContext& c) {
  check(c, 1, "y");
  const Shape& slots = c.type(2).shape;
  return {{c.type(0).dtype, Shape{slots[0], slots[1], slots[2], c.type(0).shape[2]}}};
}

// x's rows at the indices along its second axis; zeros where an index is -1.
Value rows_or_zeros(Value x, Value indices) {
  Value rows = gather(x, indices, x.shape()[1].name);
  return select(broadcast(greater_equal(indices, 0), rows.shape()), rows, 0);
}

// The token of each slot; -1 stays.
Value tokens_of(Value slots, int64_t choices) { return select(greater_equal(slots, 0), slots / choices, -1); }

std::vector<Value> to_places(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  return {rows_or_zeros(in[0], tokens_of(in[1], in[2].shape()[2].size))};
}

std::vector<Value> to_slots(const std::vector<Value>& in, const FusedAttrs&, Graph&) {
  return {rows_or_zeros(in[0], in[2])};
}

// dx[token] = sum over its choices of dy[place of the choice]; the sum is float32.
void vjp_places(VjpContext& c) {
  Value dy = c.cotangent();
  if (!dy || !c.wants(0)) return;
  Value places = c.operand(2);
  Value parts = convert(rows_or_zeros(dy, places), DType::kF32);
  c.add(0, convert(reduce_sum(parts, places.shape()[2].name), dy.dtype()));
}

// dy[place] = dz[slot of the place]
void vjp_slots(VjpContext& c) {
  Value dz = c.cotangent();
  if (!dz || !c.wants(0)) return;
  const Shape& shape = dz.shape();
  Value flat = merge_axes(dz, shape[1].name + " " + shape[2].name, "slot");
  c.add(0, rows_or_zeros(flat, c.operand(1)));
}

const FusedOp kPlaces{.name = "places_of_tokens",
                      .infer = infer_places,
                      .reference = to_places,
                      .vjp = vjp_places,
                      .forms = kPlainOpsEverywhere};
const FusedOp kSlots{.name = "slots_of_places",
                     .infer = infer_slots,
                     .reference = to_slots,
                     .vjp = vjp_slots,
                     .forms = kPlainOpsEverywhere};

}  // namespace

Value places_of_tokens(Value x, const PlaceMap& map, Where where) {
  return fused(x.graph(), kPlaces, {x, map.slot_of_place, map.place_of_slot}, {}, where)[0];
}

Value slots_of_places(Value y, const PlaceMap& map, Where where) {
  return fused(y.graph(), kSlots, {y, map.slot_of_place, map.place_of_slot}, {}, where)[0];
}

}  // namespace fathom
