// The functions that staged code calls. Axes are given by name; every function says what it does to them.
//
// Elementwise functions of several operands align axes by name: one operand must have every axis of the others, and
// gives the result its order; the others are transposed and broadcast. A number stands for a constant of the other's
// type.
#pragma once

#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "graph/graph.h"

namespace fathom {

using Where = std::source_location;

// An operand of an operator or function: a value or a number, with the caller's line.
class Operand {
 public:
  // Throws GraphError when the value is null (a gradient that does not exist is not a zero).
  Operand(Value v, Where w = Where::current());  // NOLINT(google-explicit-constructor)
  template <class T>
  requires std::is_arithmetic_v<T> Operand(T x, Where w = Where::current())  // NOLINT(google-explicit-constructor)
      : number(static_cast<double>(x)), where(w) {}

  Value value;  // null when it is a number
  double number = 0;
  Where where;
};

// ---- leaves ----
Value constant(Graph& g, double value, TensorType type, Where w = Where::current());
inline Value zeros(Graph& g, const TensorType& t, Where w = Where::current()) { return constant(g, 0, t, w); }
Value zeros_like(Value x, Where w = Where::current());
Value ones_like(Value x, Where w = Where::current());
// 0, 1, ... along the axis `axis` of `shape`.
// An array whose every element is written before it is read: its values are not defined.
Value empty(Graph& g, TensorType type, Where w = Where::current());
Value iota(Graph& g, DType dtype, Shape shape, std::string_view axis, Where w = Where::current());

// ---- elementwise ----
Value operator+(Operand a, Operand b);
Value operator-(Operand a, Operand b);
Value operator*(Operand a, Operand b);
Value operator/(Operand a, Operand b);
Value operator-(Operand a);
Value maximum(Operand a, Operand b);
Value minimum(Operand a, Operand b);
Value pow(Operand a, Operand b);
Value remainder(Operand a, Operand b);    // of integers
Value logical_and(Operand a, Operand b);  // bitwise on integers, logical on bool
Value logical_or(Operand a, Operand b);
Value logical_xor(Operand a, Operand b);
Value shift_left(Operand a, Operand b);
Value shift_right(Operand a, Operand b);  // logical
Value equal(Operand a, Operand b);
Value not_equal(Operand a, Operand b);
Value less(Operand a, Operand b);
Value less_equal(Operand a, Operand b);
Value greater(Operand a, Operand b);
Value greater_equal(Operand a, Operand b);
// Elementwise `condition ? a : b`; condition is bool.
Value select(Value condition, Operand a, Operand b, Where w = Where::current());
Value clamp(Operand low, Value x, Operand high);

Value exp(Operand x);
Value log(Operand x);
Value tanh(Operand x);
Value logistic(Operand x);
Value sqrt(Operand x);
Value rsqrt(Operand x);
Value sin(Operand x);
Value cos(Operand x);
Value logical_not(Operand x);
Value is_finite(Operand x);
Value convert(Value x, DType dtype, Where w = Where::current());  // x itself when it has the type already
Value bitcast(Value x, DType dtype, Where w = Where::current());  // same width

// ---- marks ----
Value rename(Value x, std::string_view from, std::string_view to, Where w = Where::current());
// Names an intermediate: for the remat policy, for dumps and comparisons.
Value tag(Value x, std::string_view tag_name, Where w = Where::current());
Value stop_gradient(Value x, Where w = Where::current());
// States how the value is split over the mesh; no effect on one device.
Value shard(Value x, Sharding sharding, Where w = Where::current());
// The same for an activation, by the names of its axes and the graph's rules (graph/partition.h); x itself on one
// device.
Value shard_activation(Value x, Where w = Where::current());
// The values, none of which is computed before all are.
std::vector<Value> barrier(std::vector<Value> xs, Where w = Where::current());

// ---- shape ----
// To the axes of `to` (a superset of x's, in any order).
Value broadcast(Value x, const Shape& to, Where w = Where::current());
// Axes in a new order, all named: "b h s d".
Value transpose(Value x, std::string_view names, Where w = Where::current());
// Splits one axis into several, the first varying slowest; one size may be -1.
Value split_axis(Value x, std::string_view axis, std::vector<Axis> into, Where w = Where::current());
// Joins neighbouring axes (in the named order, transposing first where they are not) into one at the place of the
// first.
Value merge_axes(Value x, std::string_view names, std::string_view into, Where w = Where::current());
// Same elements in row-major order under new axes.
Value reshape(Value x, const Shape& to, Where w = Where::current());
Value concatenate(std::vector<Value> xs, std::string_view axis, Where w = Where::current());
// [start, limit) along one axis.
Value slice(Value x, std::string_view axis, int64_t start, int64_t limit, int64_t stride = 1,
            Where w = Where::current());
// Cuts an axis into parts of the given sizes; their VJP is one concatenate.
std::vector<Value> split(Value x, std::string_view axis, const std::vector<int64_t>& sizes, Where w = Where::current());
// `value` added in front of and behind the axis.
Value pad(Value x, std::string_view axis, int64_t low, int64_t high, double value = 0, Where w = Where::current());
// `size` elements of one axis from a computed start (a scalar integer, clamped into range).
Value dynamic_slice(Value x, std::string_view axis, Value start, int64_t size, Where w = Where::current());
// The element at a computed index; the axis goes away.
Value dynamic_index(Value x, std::string_view axis, Value index, Where w = Where::current());
Value dynamic_update_slice(Value x, Value update, std::string_view axis, Value start, Where w = Where::current());
// Adds an axis of size 1 in front; drops an axis of size 1.
Value expand(Value x, std::string_view axis, Where w = Where::current());
Value squeeze(Value x, std::string_view axis, Where w = Where::current());

// ---- reductions, products ----
// Over the named axes ("s d"), which go away; an empty string means all axes.
Value reduce_sum(Value x, std::string_view axes, Where w = Where::current());
Value reduce_max(Value x, std::string_view axes, Where w = Where::current());
Value reduce_min(Value x, std::string_view axes, Where w = Where::current());
Value reduce_mean(Value x, std::string_view axes, Where w = Where::current());
Value reduce_or(Value x, std::string_view axes, Where w = Where::current());
// Inclusive running sum along the axis, in log2(size) shifted additions.
Value cumsum(Value x, std::string_view axis, bool reverse = false, Where w = Where::current());
// Sum of products over the named axes, which both have. Axes that both have otherwise are batch axes; the result has
// the batch axes, then lhs's other axes, then rhs's. Sums are float32; the result is of `out`'s type where given, else
// lhs's.
struct DotOptions {
  std::optional<DType> out;
  std::optional<Precision> precision;
};
Value dot(Value lhs, Value rhs, std::string_view contract, DotOptions options = {}, Where w = Where::current());
// The product of each group of lhs's rows with its own matrix, for targets that have such a product. Rows [0, sizes[0])
// are group 0, the next sizes[1] group 1, and so on. Summed over lhs's last axis, lhs [m k] with rhs [e n k] or [e k n]
// gives [m n]; summed over the rows, lhs [m n] with rhs [m k] gives [e n k], a matrix a group. Sums are float32.
Value ragged_dot(Value lhs, Value rhs, Value group_sizes, std::string_view contract, Where w = Where::current());
// Largest-first softmax pieces over one axis, in the value's dtype.
Value softmax(Value x, std::string_view axis, Where w = Where::current());
// log(sum(exp(x))) over one axis.
Value logsumexp(Value x, std::string_view axis, Where w = Where::current());
// Index (s32) of the first largest element.
Value argmax(Value x, std::string_view axis, Where w = Where::current());

// ---- data-dependent movement ----
// x at integer `indices` along `axis`. Axis names that x (beside `axis`) and indices share are batch axes. The result
// has the axes of indices, then the remaining axes of x. Indices out of range are clamped. Embedding: gather([v d], [b
// s], "v") -> [b s d]. Along an axis: gather([b s e], [b s k], "e") -> [b s k].
Value gather(Value x, Value indices, std::string_view axis, Where w = Where::current());
// The transpose of gather: x with `updates` (the axes that gather would give) added at the indices; repeated ones add
// up, those out of range are dropped.
Value scatter_add(Value x, Value indices, Value updates, std::string_view axis, Where w = Where::current());
// Stable sort of all operands by the first, along the axis.
std::vector<Value> sort(std::vector<Value> xs, std::string_view axis, bool descending = false,
                        Where w = Where::current());
// The stable permutation (s32) that sorts x.
Value argsort(Value x, std::string_view axis, bool descending = false, Where w = Where::current());
struct TopK {
  Value values, indices;  // axis `into` of size k in place of the searched one; indices s32; the lower index wins ties
};
TopK top_k(Value x, std::string_view axis, int64_t k, std::string_view into, Where w = Where::current());
// 1 where the axis' position equals the index: [b s] with axis {e, 8} -> [b s e].
Value one_hot(Value indices, const Axis& axis, DType dtype, Where w = Where::current());

// ---- random numbers: elementwise, so that each device of a mesh makes its part of them and no more ----
// Two u32 words of one shape.
struct Words {
  Value first, second;
};
// Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): two random
// words for each counter. The key's words are scalars.
Words threefry(const Words& key, const Words& counter, Where w = Where::current());
// A key for a name: its hash and the seed, exclusive or. `seed`: u32 [2], the high word first.
Words rng_key(std::string_view for_name, Value seed, Where w = Where::current());
// A counter for each element: the first word counts the `outer` leading axes from `first` on, the second one the other
// axes, row-major. Refuses a shape for which 32 bits are too few.
Words element_counters(Graph& g, const Shape& shape, int outer, int64_t first, Where w = Where::current());
// From the words of threefry; f32 of their shape.
Value random_uniform(const Words& bits, Where w = Where::current());  // in (-1, 1), symmetric about 0
Value random_normal(const Words& bits, Where w = Where::current());   // mean 0, variance 1

// ---- calls ----
struct CustomCall {
  std::string target;
  std::vector<std::pair<std::string, std::string>> config;
  std::vector<TensorType> results;
  std::vector<std::pair<int, int>> aliases;
  bool collective = false;  // devices meet in it, on a channel of its own
};
std::vector<Value> custom_call(Graph& g, const CustomCall& call, std::vector<Value> operands,
                               Where w = Where::current());

}  // namespace fathom
