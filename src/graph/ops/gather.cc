// Reading and adding at computed places.
#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

// The axes that gather gives: those of the indices, then x's others. An axis (beside the searched one) that both have
// is a batch axis; an axis of the indices may have the name of the searched axis, which it replaces.
Shape gather_shape(const InferContext& c) {
  const Shape& x = c.type(0).shape;
  const Shape& indices = c.type(1).shape;
  int axis = c.attr<AxisAttrs>().axis;
  require_integer(c, 1, "indices");
  std::vector<Axis> axes = indices.axes();
  for (int i = 0; i < x.rank(); ++i) {
    if (i == axis) continue;
    int j = indices.find(x[i].name);
    if (j < 0) {
      axes.push_back(x[i]);
    } else if (indices[j].size != x[i].size) {
      c.fail(fmt::format("batch axis '{}' is {} in the operand, {} in the indices", x[i].name, x[i].size,
                         indices[j].size));
    }
  }
  return Shape(std::move(axes));
}

// Whether each index lies in the axis; of the indices' shape.
Value in_range(Value indices, int64_t size) { return logical_and(greater_equal(indices, 0), less(indices, size)); }

}  // namespace

Value gather(Value x, Value indices, std::string_view axis, Where w) {
  int at = axis_of(Op::kGather, x, axis, w);
  return x.graph().make(Op::kGather, {x, indices}, AxisAttrs{.axis = at}, w).result();
}

Types infer_gather(const InferContext& c) {
  const Axis& axis = c.type().shape[c.attr<AxisAttrs>().axis];
  if (axis.size == 0) c.fail(fmt::format("axis '{}' has no elements to read", axis.name));
  return {{c.type().dtype, gather_shape(c)}};
}

// dx = dy added at the indices, which are clamped as they were in reading
void vjp_gather(VjpContext& c) {
  const Axis& axis = c.type().shape[c.node().attr<AxisAttrs>().axis];
  Value dy = c.cotangent();
  Value indices = clamp(0, c.operand(1), axis.size - 1);
  Value none = zeros(dy.graph(), c.type(), c.node().where);
  c.add(0, scatter_add(none, indices, dy, axis.name, c.node().where));
}

// Narrow floats are added in float32: an index may come many times.
Value scatter_add(Value x, Value indices, Value updates, std::string_view axis, Where w) {
  int at = axis_of(Op::kScatterAdd, x, axis, w);
  std::vector<Value> operands{x, indices, updates};
  require_values(Op::kScatterAdd, operands, w);
  if (x.dtype() != updates.dtype()) {
    graph_error(
        Op::kScatterAdd, operands,
        fmt::format("element types {} and {} differ: convert one of them", name(x.dtype()), name(updates.dtype())), w);
  }
  operands[0] = widen(x, w);
  operands[2] = widen(updates, w);
  Value out = x.graph().make(Op::kScatterAdd, std::move(operands), AxisAttrs{.axis = at}, w).result();
  return convert(out, x.dtype(), w);
}

Types infer_scatter_add(const InferContext& c) {
  Shape shape = gather_shape(c);
  if (c.type(2).dtype != c.type(0).dtype) c.fail("the element types differ: convert");
  if (c.type(0).dtype == DType::kBool) c.fail("adds numbers, not bools");
  if (c.type(2).shape != shape) c.fail("the updates should be " + shape.to_string());
  return {c.type(0)};
}

// dx = dy; dupdates = dy at the indices, zero where an update was dropped
void vjp_scatter_add(VjpContext& c) {
  Value dy = c.cotangent();
  c.add(0, dy);
  if (!c.wants(2)) return;
  const Axis& axis = c.type().shape[c.node().attr<AxisAttrs>().axis];
  Value indices = c.operand(1);
  if (axis.size == 0) return c.add(2, zeros(dy.graph(), c.type(2), c.node().where));
  c.add(2, select(in_range(indices, axis.size), gather(dy, indices, axis.name, c.node().where), 0));
}

}  // namespace fathom
