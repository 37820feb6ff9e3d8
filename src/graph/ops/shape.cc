// Broadcast, transpose, and the reshapes that split, join, add and drop axes.
#include <algorithm>
#include <numeric>

#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {

// ---- broadcast ----

Value broadcast(Value x, const Shape& to, Where w) {
  require_values(Op::kBroadcast, std::span(&x, 1), w);
  if (x.shape() == to) return x;
  std::string present;  // x's axes in the order of `to`
  std::vector<int64_t> dims;
  for (int i = 0; i < to.rank(); ++i) {
    if (!x.has(to[i].name)) continue;
    present += (present.empty() ? "" : " ") + to[i].name;
    dims.push_back(i);
  }
  if (static_cast<int>(dims.size()) != x.rank()) {
    graph_error(Op::kBroadcast, std::span(&x, 1), "its axes are not all in " + to.to_string(), w);
  }
  x = transpose(x, present, w);
  if (x.shape() == to) return x;
  return x.graph().make(Op::kBroadcast, {x}, DimsAttrs{std::move(dims), to}, w).result();
}

Types infer_broadcast(const InferContext& c) {
  const DimsAttrs& a = c.attr<DimsAttrs>();
  const Shape& x = c.type().shape;
  if (static_cast<int>(a.dims.size()) != x.rank()) c.fail("needs a position for each axis");
  for (int i = 0; i < x.rank(); ++i) {
    int64_t at = a.dims[static_cast<size_t>(i)];
    bool rising = i == 0 || a.dims[static_cast<size_t>(i - 1)] < at;
    if (!rising || at < 0 || at >= a.to.rank() || a.to[static_cast<int>(at)].name != x[i].name) {
      c.fail(fmt::format("axis '{}' does not stand at position {} of {}", x[i].name, at, a.to.to_string()));
    }
    int64_t size = a.to[static_cast<int>(at)].size;
    if (size != x[i].size) c.fail(fmt::format("axis '{}' is {} and should become {}", x[i].name, x[i].size, size));
  }
  return {{c.type().dtype, a.to}};
}

// dx = sum of dy over the axes that x has not
void vjp_broadcast(VjpContext& c) {
  const DimsAttrs& a = c.node().attr<DimsAttrs>();
  std::vector<int64_t> added;
  for (int64_t i = 0; i < a.to.rank(); ++i) {
    if (std::find(a.dims.begin(), a.dims.end(), i) == a.dims.end()) added.push_back(i);
  }
  c.add(0, sum_over(c.cotangent(), added, c.node().where));
}

// ---- transpose ----

Value transpose(Value x, std::string_view names, Where w) {
  std::vector<int64_t> order = axes_of(Op::kTranspose, x, names, w);
  if (static_cast<int>(order.size()) != x.rank()) {
    graph_error(Op::kTranspose, std::span(&x, 1), fmt::format("the order '{}' does not name every axis", names), w);
  }
  if (std::is_sorted(order.begin(), order.end())) return x;
  return x.graph().make(Op::kTranspose, {x}, DimsAttrs{std::move(order)}, w).result();
}

Types infer_transpose(const InferContext& c) {
  const std::vector<int64_t>& order = c.attr<DimsAttrs>().dims;
  const Shape& x = c.type().shape;
  std::vector<int64_t> all(static_cast<size_t>(x.rank()));
  std::iota(all.begin(), all.end(), 0);
  if (!std::is_permutation(order.begin(), order.end(), all.begin(), all.end())) {
    c.fail(fmt::format("[{}] is not an order of the axes", fmt::join(order, ", ")));
  }
  std::vector<Axis> axes;
  for (int64_t i : order) axes.push_back(x[static_cast<int>(i)]);
  return {{c.type().dtype, Shape(std::move(axes))}};
}

// dx = dy with the axes in x's order
void vjp_transpose(VjpContext& c) { c.add(0, transpose(c.cotangent(), join_names(c.type().shape), c.node().where)); }

// ---- reshape ----

Value reshape(Value x, const Shape& to, Where w) {
  require_values(Op::kReshape, std::span(&x, 1), w);
  if (x.shape() == to) return x;
  return x.graph().make(Op::kReshape, {x}, TypeAttrs{{x.dtype(), to}}, w).result();
}

Types infer_reshape(const InferContext& c) {
  const TensorType& to = c.attr<TypeAttrs>().type;
  if (to.dtype != c.type().dtype || to.shape.elements() != c.type().shape.elements()) {
    c.fail(fmt::format("{} elements do not fill {}", c.type().shape.elements(), to.to_string()));
  }
  return {to};
}

// dx = dy under x's axes
void vjp_reshape(VjpContext& c) { c.add(0, reshape(c.cotangent(), c.type().shape, c.node().where)); }

Value split_axis(Value x, std::string_view axis, std::vector<Axis> into, Where w) {
  int at = axis_of(Op::kReshape, x, axis, w);
  int64_t size = x.shape()[at].size;
  int64_t known = 1;
  Axis* open = nullptr;
  for (Axis& a : into) {
    if (a.size >= 0) {
      known *= a.size;
    } else if (open == nullptr) {
      open = &a;
    } else {
      graph_error(Op::kReshape, std::span(&x, 1), fmt::format("'{}' and '{}' are both left open", open->name, a.name),
                  w);
    }
  }
  if (open != nullptr) open->size = known == 0 ? 0 : size / known;
  if ((open != nullptr ? known * open->size : known) != size) {
    graph_error(Op::kReshape, std::span(&x, 1),
                fmt::format("axis '{}' of size {} does not split into parts of {}", axis, size, known), w);
  }
  std::vector<Axis> axes(x.shape().begin(), x.shape().begin() + at);
  for (Axis& a : into) axes.push_back(std::move(a));
  axes.insert(axes.end(), x.shape().begin() + at + 1, x.shape().end());
  return reshape(x, make_shape(Op::kReshape, x, std::move(axes), w), w);
}

Value merge_axes(Value x, std::string_view names, std::string_view into, Where w) {
  const std::vector<int64_t> joined = axes_of(Op::kReshape, x, names, w);
  if (joined.empty()) graph_error(Op::kReshape, std::span(&x, 1), "no axes to join", w);
  int64_t product = 1;
  for (int64_t i : joined) product *= x.shape()[static_cast<int>(i)].size;
  std::vector<int64_t> order;  // x's axes with the joined ones together, at the place of the first of them
  std::vector<Axis> axes;
  for (int64_t i = 0; i < x.rank(); ++i) {
    if (i == joined[0]) {
      order.insert(order.end(), joined.begin(), joined.end());
      axes.push_back({std::string(into), product});
    } else if (std::find(joined.begin(), joined.end(), i) == joined.end()) {
      order.push_back(i);
      axes.push_back(x.shape()[static_cast<int>(i)]);
    }
  }
  Shape shape = make_shape(Op::kReshape, x, std::move(axes), w);
  return reshape(transpose(x, join_names(x.shape(), order), w), shape, w);
}

Value expand(Value x, std::string_view axis, Where w) {
  require_values(Op::kReshape, std::span(&x, 1), w);
  std::vector<Axis> axes{{std::string(axis), 1}};
  axes.insert(axes.end(), x.shape().begin(), x.shape().end());
  return reshape(x, make_shape(Op::kReshape, x, std::move(axes), w), w);
}

Value squeeze(Value x, std::string_view axis, Where w) {
  int at = axis_of(Op::kReshape, x, axis, w);
  if (x.shape()[at].size != 1) {
    graph_error(Op::kReshape, std::span(&x, 1),
                fmt::format("axis '{}' to be dropped is {}, not 1", axis, x.shape()[at].size), w);
  }
  return reshape(x, without(x.shape(), at), w);
}

}  // namespace fathom
