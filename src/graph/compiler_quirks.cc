#include "graph/compiler_quirks.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "graph/ops.h"
#include "graph/ops/build.h"

namespace fathom {
namespace {

using Values = std::vector<Value>;

// Asked for the highest precision, XLA:CPU multiplies float32 matrices as it always does, in sums of float32.
// Seen in xla-cpu-pjrt 0.0.1 and lammps-jax-pjrt-cpu 0.11.2. The product is made in float64.
bool ignores_precision(const Node& node) {
  return node.op == Op::kDot && node.attr<DotAttrs>().precision == Precision::kHighest &&
         node.operands[0].dtype() == DType::kF32;
}

Value dot_in_float64(const Node& node, Values operands) {
  for (Value& v : operands) v = convert(v, DType::kF64, node.where);
  DotAttrs attrs = node.attr<DotAttrs>();
  attrs.out = DType::kF64;
  Graph& g = operands[0].graph();
  return convert(g.make(node.op, std::move(operands), attrs, node.where).result(), node.results[0].dtype, node.where);
}

// Of a product over the leading axes of both operands, as a weight's gradient is, XLA:CPU makes a transposed copy of
// the left one. Seen in xla-cpu-pjrt 0.0.1 and lammps-jax-pjrt-cpu 0.11.2. Where the left one is larger than the right
// one and the result together, the product is turned around, so that these are transposed instead.
bool transposes_the_larger(const Node& node) {
  if (node.op != Op::kDot) return false;
  const DotAttrs& a = node.attr<DotAttrs>();
  if (!a.lhs_batch.empty()) return false;
  for (size_t i = 0; i < a.lhs_contract.size(); ++i) {
    const auto place = static_cast<int64_t>(i);
    if (a.lhs_contract[i] != place || a.rhs_contract[i] != place) return false;
  }
  auto elements = [&](size_t i) { return node.operands[i].shape().elements(); };
  return elements(0) > elements(1) + node.results[0].shape.elements();
}

Value turned_dot(const Node& node, Values operands) {
  const DotAttrs& a = node.attr<DotAttrs>();
  const std::string summed = join_names(operands[0].shape(), a.lhs_contract);
  Value turned = dot(operands[1], operands[0], summed, {.out = a.out, .precision = a.precision}, node.where);
  // Without the barrier XLA would turn the product back.
  return transpose(barrier({turned}, node.where)[0], join_names(node.results[0].shape), node.where);
}

// A reduce_scatter over an axis that is not the first hands each device contiguous memory, not its part of the axis.
// Seen in xla-cpu-pjrt 0.0.1 and lammps-jax-pjrt-cpu 0.11.2. The axis is moved to the front and back.
bool scatters_wrong_parts(const Node& node) {
  return node.op == Op::kReduceScatter && node.attr<CollectiveAttrs>().axis != 0;
}

Value scattered_in_front(const Node& node, Values operands) {
  CollectiveAttrs attrs = node.attr<CollectiveAttrs>();
  const Value& x = operands[0];
  std::vector<int64_t> order(static_cast<size_t>(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + attrs.axis, order.begin() + attrs.axis + 1);
  attrs.axis = 0;
  Value moved = transpose(x, join_names(x.shape(), order), node.where);
  Value scattered = x.graph().make(node.op, {moved}, attrs, node.where).result();
  return transpose(scattered, join_names(x.shape()), node.where);
}

// XLA:GPU gathers and scatters along the axis that lies outermost in memory. It would rather keep a whole stack of
// layers in that order for a loop, with a copy of it beside the state (1.2 GB a stack of deepseek2-16b's experts on
// eight devices) and others in float32 behind the optimizer, than turn one layer's matrix around. Seen in
// jax-cuda13-pjrt 0.12.0.1. What goes in and what comes out is held to rows in order.
bool reorders_stacks(const Node& node) {
  return (node.op == Op::kAllGather || node.op == Op::kReduceScatter) && node.attr<CollectiveAttrs>().axis != 0;
}

Value row_by_row(Value v, const Node& node) {
  return custom_call(v.graph(), {.target = "LayoutConstraint", .results = {v.type()}}, {v}, node.where)[0];
}

Value collective_of_rows(const Node& node, Values operands) {
  const bool gathers = node.op == Op::kAllGather;
  Value x = gathers ? row_by_row(operands[0], node) : operands[0];
  Value made = x.graph().make(node.op, {x}, node.attr<CollectiveAttrs>(), node.where).result();
  return gathers ? made : row_by_row(made, node);
}

struct Quirk {
  Hardware hardware;
  bool (*has)(const Node& node);
  Value (*instead)(const Node& node, Values operands);
};

// The first that a node has counts.
constexpr Quirk kQuirks[] = {
    {Hardware::kCpu, ignores_precision, dot_in_float64},
    {Hardware::kCpu, transposes_the_larger, turned_dot},
    {Hardware::kCpu, scatters_wrong_parts, scattered_in_front},
    {Hardware::kGpu, reorders_stacks, collective_of_rows},
};

}  // namespace

Value compiler_form(Hardware hardware, const Node& node, std::vector<Value> operands) {
  for (const Quirk& quirk : kQuirks) {
    if (quirk.hardware == hardware && quirk.has(node)) return quirk.instead(node, std::move(operands));
  }
  return {};
}

}  // namespace fathom
