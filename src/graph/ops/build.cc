#include "graph/ops/build.h"

#include <algorithm>
#include <stdexcept>

namespace fathom {

void require_values(Op op, std::span<const Value> values, Where w) {
  for (const Value& v : values) {
    if (!v) graph_error(op, values, "an operand is null (a gradient that does not exist?)", w);
  }
}

int axis_of(Op op, Value x, std::string_view axis, Where w) {
  require_values(op, std::span(&x, 1), w);
  int i = x.shape().find(axis);
  if (i < 0) graph_error(op, std::span(&x, 1), fmt::format("no axis '{}'", axis), w);
  return i;
}

std::vector<int64_t> axes_of(Op op, Value x, std::string_view names, Where w) {
  std::vector<int64_t> out;
  for (const std::string& n : split_names(names)) {
    int64_t i = axis_of(op, x, n, w);
    if (std::find(out.begin(), out.end(), i) != out.end()) {
      graph_error(op, std::span(&x, 1), fmt::format("axis '{}' is named twice", n), w);
    }
    out.push_back(i);
  }
  return out;
}

std::string join_names(const Shape& shape) { return fmt::format("{}", fmt::join(shape.names(), " ")); }

std::string join_names(const Shape& shape, const std::vector<int64_t>& positions) {
  std::string out;
  for (int64_t i : positions) out += (out.empty() ? "" : " ") + shape[static_cast<int>(i)].name;
  return out;
}

Shape make_shape(Op op, Value x, std::vector<Axis> axes, Where w) {
  try {
    return Shape(std::move(axes));
  } catch (const std::invalid_argument& e) {
    graph_error(op, std::span(&x, 1), e.what(), w);
  }
}

Shape with_size(const Shape& shape, int axis, int64_t size) {
  std::vector<Axis> axes = shape.axes();
  axes[static_cast<size_t>(axis)].size = size;
  return Shape(std::move(axes));
}

Shape with_name(const Shape& shape, int axis, std::string_view name) {
  std::vector<Axis> axes = shape.axes();
  axes[static_cast<size_t>(axis)].name = name;
  return Shape(std::move(axes));
}

Shape without(const Shape& shape, int axis) {
  std::vector<Axis> axes = shape.axes();
  axes.erase(axes.begin() + axis);
  return Shape(std::move(axes));
}

Value widen(Value x, Where w) {
  bool narrow = is_float(x.dtype()) && byte_size(x.dtype()) < 4;
  return narrow ? convert(x, DType::kF32, w) : x;
}

std::vector<TensorType> types_of(std::span<const Value> values) {
  std::vector<TensorType> out;
  for (const Value& v : values) out.push_back(v.type());
  return out;
}

std::vector<Value> results_of(Node& node) {
  std::vector<Value> out;
  for (size_t i = 0; i < node.results.size(); ++i) out.push_back(node.result(static_cast<int>(i)));
  return out;
}

void require_integer(const InferContext& c, int i, std::string_view what) {
  if (!is_integer(c.type(i).dtype)) c.fail(fmt::format("{} must be integers", what));
}

}  // namespace fathom
