// What the builders of several families share.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ops.h"

namespace fathom {

// Refuses null values: a gradient that does not exist, an unset weight.
void require_values(Op op, std::span<const Value> values, Where w);

// Position of a named axis; refuses a name that the value has not.
int axis_of(Op op, Value x, std::string_view axis, Where w);

// Positions of the named axes, in the order of the names; refuses unknown and repeated ones.
std::vector<int64_t> axes_of(Op op, Value x, std::string_view names, Where w);

// "b s d"
std::string join_names(const Shape& shape);
// The names of the axes at `positions`.
std::string join_names(const Shape& shape, const std::vector<int64_t>& positions);

// The shape with these axes; refuses two of one name.
Shape make_shape(Op op, Value x, std::vector<Axis> axes, Where w);
// `shape` with another size, or another name, at one axis.
Shape with_size(const Shape& shape, int axis, int64_t size);
Shape with_name(const Shape& shape, int axis, std::string_view name);
// `shape` without one axis.
Shape without(const Shape& shape, int axis);

// x in float32 when its type is narrower, for sums; x itself otherwise.
Value widen(Value x, Where w);

// Sum over axes given by position; x itself when there are none. Sums of narrow floats are float32 inside.
Value sum_over(Value x, const std::vector<int64_t>& dims, Where w);

std::vector<TensorType> types_of(std::span<const Value> values);
// All results of a node.
std::vector<Value> results_of(Node& node);

// Fails unless operand i has an integer type.
void require_integer(const InferContext& c, int i, std::string_view what);

}  // namespace fathom
