// Operations that join, cut, pad and turn around axes.
#include <algorithm>

#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

std::vector<int64_t> zeros_of_rank(const Shape& shape) {
  return std::vector<int64_t>(static_cast<size_t>(shape.rank()));
}

// x with `low` and `high` elements of `value` around one axis and `interior` between its elements.
Value pad_at(Value x, int axis, int64_t low, int64_t high, int64_t interior, double value, Where w) {
  if (low == 0 && high == 0 && interior == 0) return x;
  PadAttrs a{zeros_of_rank(x.shape()), zeros_of_rank(x.shape()), zeros_of_rank(x.shape())};
  size_t i = static_cast<size_t>(axis);
  a.low[i] = low;
  a.high[i] = high;
  a.interior[i] = interior;
  Value fill = constant(x.graph(), value, {x.dtype(), {}}, w);
  return x.graph().make(Op::kPad, {x, fill}, std::move(a), w).result();
}

Value make_slice(Value x, SliceAttrs a, Where w) { return x.graph().make(Op::kSlice, {x}, std::move(a), w).result(); }

SliceAttrs whole(const Shape& shape) {
  std::vector<int64_t> ones(static_cast<size_t>(shape.rank()), 1);
  return {zeros_of_rank(shape), shape.sizes(), std::move(ones)};
}

// Number of elements that start, start + stride, ... has below limit.
int64_t count(int64_t start, int64_t limit, int64_t stride) { return (limit - start + stride - 1) / stride; }

// Scalar starts for dynamic_slice: `start` at the axis, zeros elsewhere.
std::vector<Value> starts_at(Op op, Value x, int axis, Value start, Where w) {
  require_values(op, std::vector<Value>{x, start}, w);
  Value zero = x.rank() > 1 ? zeros(x.graph(), start.type(), w) : start;
  std::vector<Value> out(static_cast<size_t>(x.rank()), zero);
  out[static_cast<size_t>(axis)] = start;
  return out;
}

void require_starts(const InferContext& c, size_t from) {
  size_t rank = static_cast<size_t>(c.type().shape.rank());
  if (c.operands.size() != from + rank) c.fail(fmt::format("needs {} starts, one for each axis", rank));
  for (size_t i = from; i < c.operands.size(); ++i) {
    if (c.operands[i].rank() != 0 || !is_integer(c.operands[i].dtype())) c.fail("a start must be an integer scalar");
    if (c.operands[i].dtype() != c.operands[from].dtype()) c.fail("the starts are of different types");
  }
}

}  // namespace

// ---- concatenate ----

Value concatenate(std::vector<Value> xs, std::string_view axis, Where w) {
  if (xs.empty()) graph_error(Op::kConcatenate, {}, "nothing to join", w);
  require_values(Op::kConcatenate, xs, w);
  int at = axis_of(Op::kConcatenate, xs[0], axis, w);
  if (xs.size() == 1) return xs[0];
  for (Value& x : xs) {
    if (x.rank() != xs[0].rank()) graph_error(Op::kConcatenate, xs, "the operands have different axes", w);
    for (const Axis& a : xs[0].shape()) axis_of(Op::kConcatenate, x, a.name, w);
    x = transpose(x, join_names(xs[0].shape()), w);
  }
  Graph& g = xs[0].graph();
  return g.make(Op::kConcatenate, std::move(xs), AxisAttrs{.axis = at}, w).result();
}

Types infer_concatenate(const InferContext& c) {
  int axis = c.attr<AxisAttrs>().axis;
  const Shape& first = c.type().shape;
  int64_t total = 0;
  for (const Value& x : c.operands) {
    if (x.dtype() != c.type().dtype) c.fail("the element types differ: convert");
    int64_t size = x.shape()[axis].size;
    if (x.shape() != with_size(first, axis, size)) {
      c.fail(fmt::format("the operands differ in more than axis '{}'", first[axis].name));
    }
    total += size;
  }
  return {{c.type().dtype, with_size(first, axis, total)}};
}

// dx_i = the part of dy that x_i gave
void vjp_concatenate(VjpContext& c) {
  const Node& node = c.node();
  const std::string axis = node.results[0].shape[node.attr<AxisAttrs>().axis].name;
  int64_t start = 0;
  for (int i = 0; i < static_cast<int>(node.operands.size()); ++i) {
    int64_t limit = start + c.type(i).shape.size(axis);
    if (c.wants(i)) c.add(i, slice(c.cotangent(), axis, start, limit, 1, node.where));
    start = limit;
  }
}

// ---- slice ----

Value slice(Value x, std::string_view axis, int64_t start, int64_t limit, int64_t stride, Where w) {
  size_t at = static_cast<size_t>(axis_of(Op::kSlice, x, axis, w));
  SliceAttrs a = whole(x.shape());
  if (start == 0 && limit == a.limits[at] && stride == 1) return x;
  a.starts[at] = start;
  a.limits[at] = limit;
  a.strides[at] = stride;
  return make_slice(x, std::move(a), w);
}

Types infer_slice(const InferContext& c) {
  const SliceAttrs& a = c.attr<SliceAttrs>();
  std::vector<Axis> axes = c.type().shape.axes();
  if (a.starts.size() != axes.size() || a.limits.size() != axes.size() || a.strides.size() != axes.size()) {
    c.fail("needs a start, a limit and a stride for each axis");
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t start = a.starts[i];
    int64_t limit = a.limits[i];
    if (start < 0 || start > limit || limit > axes[i].size || a.strides[i] < 1) {
      c.fail(fmt::format("[{}, {}) in steps of {} is no part of axis '{}' of size {}", start, limit, a.strides[i],
                         axes[i].name, axes[i].size));
    }
    axes[i].size = count(start, limit, a.strides[i]);
  }
  return {{c.type().dtype, Shape(std::move(axes))}};
}

// dx = dy at the places it was taken from, zero elsewhere
void vjp_slice(VjpContext& c) {
  const SliceAttrs& a = c.node().attr<SliceAttrs>();
  const Shape& x = c.type().shape;
  Value dx = c.cotangent();
  PadAttrs p{a.starts, zeros_of_rank(x), zeros_of_rank(x)};
  for (size_t i = 0; i < a.starts.size(); ++i) {
    int64_t n = count(a.starts[i], a.limits[i], a.strides[i]);
    p.interior[i] = a.strides[i] - 1;
    p.high[i] = x[static_cast<int>(i)].size - a.starts[i] - (n == 0 ? 0 : (n - 1) * a.strides[i] + 1);
  }
  Value zero = zeros(dx.graph(), {dx.dtype(), {}});
  c.add(0, dx.graph().make(Op::kPad, {dx, zero}, std::move(p), c.node().where).result());
}

// ---- split ----

std::vector<Value> split(Value x, std::string_view axis, const std::vector<int64_t>& sizes, Where w) {
  int at = axis_of(Op::kSplit, x, axis, w);
  return results_of(x.graph().make(Op::kSplit, {x}, SplitAttrs{at, sizes}, w));
}

Types infer_split(const InferContext& c) {
  const SplitAttrs& a = c.attr<SplitAttrs>();
  const Axis& axis = c.type().shape[a.axis];
  int64_t total = 0;
  Types out;
  for (int64_t size : a.sizes) {
    if (size < 0) c.fail(fmt::format("a part of axis '{}' has negative size {}", axis.name, size));
    total += size;
    out.push_back({c.type().dtype, with_size(c.type().shape, a.axis, size)});
  }
  if (total != axis.size) {
    c.fail(fmt::format("parts of [{}] do not make up axis '{}' of size {}", fmt::join(a.sizes, ", "), axis.name,
                       axis.size));
  }
  return out;
}

// dx = the dy_i joined, zeros for the parts that the loss does not use
void vjp_split(VjpContext& c) {
  const Node& node = c.node();
  std::vector<Value> parts;
  Graph* graph = nullptr;
  for (int i = 0; i < static_cast<int>(node.results.size()); ++i) {
    parts.push_back(c.cotangent(i));
    if (parts.back()) graph = &parts.back().graph();
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i]) parts[i] = zeros(*graph, node.results[i], node.where);
  }
  c.add(0, concatenate(std::move(parts), c.type().shape[node.attr<SplitAttrs>().axis].name, node.where));
}

// ---- pad, reverse ----

Value pad(Value x, std::string_view axis, int64_t low, int64_t high, double value, Where w) {
  return pad_at(x, axis_of(Op::kPad, x, axis, w), low, high, 0, value, w);
}

Types infer_pad(const InferContext& c) {
  const PadAttrs& a = c.attr<PadAttrs>();
  std::vector<Axis> axes = c.type().shape.axes();
  if (a.low.size() != axes.size() || a.high.size() != axes.size() || a.interior.size() != axes.size()) {
    c.fail("needs paddings for each axis");
  }
  if (c.type(1) != TensorType{c.type().dtype, {}})
    c.fail("the padding value must be a scalar of the same element type");
  for (size_t i = 0; i < axes.size(); ++i) {
    if (a.low[i] < 0 || a.high[i] < 0 || a.interior[i] < 0) {
      c.fail(fmt::format("axis '{}' has a negative padding ({}, {}); use slice", axes[i].name, a.low[i], a.high[i]));
    }
    int64_t gaps = axes[i].size == 0 ? 0 : axes[i].size - 1;
    axes[i].size += a.low[i] + a.high[i] + gaps * a.interior[i];
  }
  return {{c.type().dtype, Shape(std::move(axes))}};
}

// dx = dy at x's places; dvalue = the sum of dy at the others
void vjp_pad(VjpContext& c) {
  const PadAttrs& a = c.node().attr<PadAttrs>();
  const Shape& x = c.type().shape;
  Value dy = c.cotangent();
  SliceAttrs s = whole(dy.shape());
  for (size_t i = 0; i < a.low.size(); ++i) {
    int64_t size = x[static_cast<int>(i)].size;
    s.starts[i] = a.low[i];
    s.strides[i] = a.interior[i] + 1;
    s.limits[i] = a.low[i] + (size == 0 ? 0 : (size - 1) * s.strides[i] + 1);
  }
  Value dx = make_slice(dy, std::move(s), c.node().where);
  c.add(0, dx);
  if (c.wants(1)) c.add(1, reduce_sum(dy, "") - reduce_sum(dx, ""));
}

// ---- slices at computed places ----

Value dynamic_slice(Value x, std::string_view axis, Value start, int64_t size, Where w) {
  int at = axis_of(Op::kDynamicSlice, x, axis, w);
  std::vector<Value> operands = starts_at(Op::kDynamicSlice, x, at, start, w);
  operands.insert(operands.begin(), x);
  if (size < 0) graph_error(Op::kDynamicSlice, operands, fmt::format("a slice of negative size {}", size), w);
  TypeAttrs a{{x.dtype(), with_size(x.shape(), at, size)}};
  return x.graph().make(Op::kDynamicSlice, std::move(operands), std::move(a), w).result();
}

Types infer_dynamic_slice(const InferContext& c) {
  const TensorType& to = c.attr<TypeAttrs>().type;
  const Shape& x = c.type().shape;
  require_starts(c, 1);
  if (to.dtype != c.type().dtype || to.shape.names() != x.names()) c.fail("no slice of it is " + to.to_string());
  for (int i = 0; i < x.rank(); ++i) {
    if (to.shape[i].size > x[i].size) {
      c.fail(fmt::format("a slice of {} is more than axis '{}' of size {}", to.shape[i].size, x[i].name, x[i].size));
    }
  }
  return {to};
}

// dx = dy at the same place in zeros
void vjp_dynamic_slice(VjpContext& c) {
  Value dy = c.cotangent();
  std::vector<Value> operands{zeros(dy.graph(), c.type()), dy};
  for (int i = 1; i <= c.type().shape.rank(); ++i) operands.push_back(c.operand(i));
  c.add(0, dy.graph().make(Op::kDynamicUpdateSlice, std::move(operands), {}, c.node().where).result());
}

Value dynamic_index(Value x, std::string_view axis, Value index, Where w) {
  return squeeze(dynamic_slice(x, axis, index, 1, w), axis, w);
}

Value dynamic_update_slice(Value x, Value update, std::string_view axis, Value start, Where w) {
  int at = axis_of(Op::kDynamicUpdateSlice, x, axis, w);
  std::vector<Value> operands = starts_at(Op::kDynamicUpdateSlice, x, at, start, w);
  require_values(Op::kDynamicUpdateSlice, std::span(&update, 1), w);
  operands.insert(operands.begin(), {x, update});
  return x.graph().make(Op::kDynamicUpdateSlice, std::move(operands), {}, w).result();
}

Types infer_dynamic_update_slice(const InferContext& c) {
  const TensorType& x = c.type(0);
  const TensorType& update = c.type(1);
  require_starts(c, 2);
  if (update.dtype != x.dtype) c.fail("the element types differ: convert");
  if (update.shape.names() != x.shape.names()) c.fail("the update's axes are not those of the operand, in its order");
  for (int i = 0; i < x.shape.rank(); ++i) {
    if (update.shape[i].size > x.shape[i].size)
      c.fail(fmt::format("the update is larger in axis '{}'", x.shape[i].name));
  }
  return {x};
}

// dx = dy with zeros in the updated place; dupdate = dy in that place
void vjp_dynamic_update_slice(VjpContext& c) {
  Value dy = c.cotangent();
  Graph& g = dy.graph();
  std::vector<Value> starts;
  for (int i = 2; i < 2 + c.type().shape.rank(); ++i) starts.push_back(c.operand(i));
  if (c.wants(0)) {
    std::vector<Value> operands{dy, zeros(g, c.type(1))};
    operands.insert(operands.end(), starts.begin(), starts.end());
    c.add(0, g.make(Op::kDynamicUpdateSlice, std::move(operands), {}, c.node().where).result());
  }
  if (c.wants(1)) {
    std::vector<Value> operands{dy};
    operands.insert(operands.end(), starts.begin(), starts.end());
    c.add(1, g.make(Op::kDynamicSlice, std::move(operands), TypeAttrs{c.type(1)}, c.node().where).result());
  }
}

}  // namespace fathom
