// Reductions over named axes, and what is composed of them.
#include <algorithm>
#include <numeric>

#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

std::vector<int64_t> all_axes(Value x) {
  std::vector<int64_t> out(static_cast<size_t>(x.rank()));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

// Sums of narrow floats are float32 inside (ARCHITECTURE.md, decision 10); the rest loses nothing.
Value reduce_over(Op op, Value x, std::vector<int64_t> dims, Where w) {
  if (dims.empty()) return x;
  std::sort(dims.begin(), dims.end());
  Value in = op == Op::kReduceSum ? widen(x, w) : x;
  Value out = x.graph().make(op, {in}, DimsAttrs{std::move(dims)}, w).result();
  return convert(out, x.dtype(), w);
}

Value reduce(Op op, Value x, std::string_view axes, Where w) {
  require_values(op, std::span(&x, 1), w);
  std::vector<int64_t> dims = axes_of(op, x, axes, w);
  return reduce_over(op, x, dims.empty() ? all_axes(x) : std::move(dims), w);
}

}  // namespace

Types infer_reduce(const InferContext& c) {
  const std::vector<int64_t>& dims = c.attr<DimsAttrs>().dims;
  bool logical = c.op == Op::kReduceOr;
  if ((c.type().dtype == DType::kBool) != logical) {
    c.fail(logical ? "a logical reduction takes bools" : "the reduction takes numbers, not bools");
  }
  std::vector<Axis> axes;
  for (int i = 0; i < c.type().shape.rank(); ++i) {
    if (std::find(dims.begin(), dims.end(), i) == dims.end()) axes.push_back(c.type().shape[i]);
  }
  if (axes.size() + dims.size() != static_cast<size_t>(c.type().shape.rank())) {
    c.fail(fmt::format("[{}] are not distinct axes", fmt::join(dims, ", ")));
  }
  return {{c.type().dtype, Shape(std::move(axes))}};
}

Value sum_over(Value x, const std::vector<int64_t>& dims, Where w) { return reduce_over(Op::kReduceSum, x, dims, w); }

Value reduce_sum(Value x, std::string_view axes, Where w) { return reduce(Op::kReduceSum, x, axes, w); }
// dx = dy at every element
void vjp_reduce_sum(VjpContext& c) { c.add(0, broadcast(c.cotangent(), c.type().shape, c.node().where)); }

Value reduce_max(Value x, std::string_view axes, Where w) { return reduce(Op::kReduceMax, x, axes, w); }
Value reduce_min(Value x, std::string_view axes, Where w) { return reduce(Op::kReduceMin, x, axes, w); }
// dx = dy / n at the n elements that equal the extreme: ties share evenly, and with them NaNs, which are the extreme
// or, where the platform's maximum passes over them, have no part in it
void vjp_reduce_extreme(VjpContext& c) {
  Value x = c.operand();
  Value chosen = convert(logical_or(equal(x, c.result()), not_equal(x, x)), x.dtype());
  Value n = sum_over(chosen, c.node().attr<DimsAttrs>().dims, c.node().where);
  c.add(0, chosen * (c.cotangent() / n));
}

Value reduce_or(Value x, std::string_view axes, Where w) { return reduce(Op::kReduceOr, x, axes, w); }

// ---- composed ----

Value reduce_mean(Value x, std::string_view axes, Where w) {
  require_values(Op::kReduceSum, std::span(&x, 1), w);
  if (!is_float(x.dtype())) graph_error(Op::kReduceSum, std::span(&x, 1), "a mean is of floats: convert", w);
  Value sum = reduce_sum(widen(x, w), axes, w);
  double count = 1;
  for (const Axis& a : x.shape()) count *= sum.has(a.name) ? 1 : static_cast<double>(a.size);
  return convert(sum / Operand(count, w), x.dtype(), w);
}

// Sums of ever longer stretches: after the step of d, each element is the sum of the 2 d elements that end at it.
Value cumsum(Value x, std::string_view axis, bool reverse, Where w) {
  int64_t size = x.shape()[axis_of(Op::kAdd, x, axis, w)].size;
  Value sum = widen(x, w);
  for (int64_t d = 1; d < size; d *= 2) {
    Value shifted = reverse ? pad(slice(sum, axis, d, size, 1, w), axis, 0, d, 0, w)
                            : pad(slice(sum, axis, 0, size - d, 1, w), axis, d, 0, 0, w);
    sum = Operand(sum, w) + Operand(shifted, w);
  }
  return convert(sum, x.dtype(), w);
}

Value softmax(Value x, std::string_view axis, Where w) {
  // Taking off the largest changes nothing but the range of exp, so no gradient goes that way.
  Value top = stop_gradient(reduce_max(x, axis, w), w);
  Value e = exp({Operand(x, w) - Operand(top, w), w});
  return Operand(e, w) / Operand(reduce_sum(e, axis, w), w);
}

Value logsumexp(Value x, std::string_view axis, Where w) {
  Value top = stop_gradient(reduce_max(x, axis, w), w);
  // Where all are -inf the result is -inf rather than the NaN of -inf - -inf.
  top = select(is_finite({top, w}), top, Operand(0, w), w);
  Value sum = reduce_sum(exp({Operand(x, w) - Operand(top, w), w}), axis, w);
  return Operand(log({sum, w}), w) + Operand(top, w);
}

Value argmax(Value x, std::string_view axis, Where w) {
  int at = axis_of(Op::kReduceMax, x, axis, w);
  int64_t size = x.shape()[at].size;
  if (size == 0)
    graph_error(Op::kReduceMax, std::span(&x, 1), fmt::format("axis '{}' has no largest element", axis), w);
  x = stop_gradient(x, w);
  Value best = equal({x, w}, {reduce_max(x, axis, w), w});
  // A largest element of NaN equals nothing: then the first NaN is meant. Whether a NaN counts as the largest beside
  // numbers is up to the platform's maximum.
  if (is_float(x.dtype())) best = logical_or({best, w}, {not_equal({x, w}, {x, w}), w});
  Value position = iota(x.graph(), DType::kS32, x.shape(), axis, w);
  return reduce_min(select(best, {position, w}, Operand(size, w), w), axis, w);
}

Value one_hot(Value indices, const Axis& axis, DType dtype, Where w) {
  require_values(Op::kCompare, std::span(&indices, 1), w);
  if (!is_integer(indices.dtype())) graph_error(Op::kCompare, std::span(&indices, 1), "indices must be integers", w);
  std::vector<Axis> axes = indices.shape().axes();
  axes.push_back(axis);
  Shape shape = make_shape(Op::kCompare, indices, std::move(axes), w);
  Value position = iota(indices.graph(), indices.dtype(), shape, axis.name, w);
  return convert(equal({position, w}, {indices, w}), dtype, w);
}

}  // namespace fathom
