// The product: sums over named axes.
#include <algorithm>

#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {
namespace {

bool among(const std::vector<int64_t>& dims, int64_t i) { return std::find(dims.begin(), dims.end(), i) != dims.end(); }

// The axes of an operand that are neither batch axes nor summed over.
std::vector<int64_t> free_axes(const Shape& shape, const std::vector<int64_t>& batch,
                               const std::vector<int64_t>& contract) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < shape.rank(); ++i) {
    if (!among(batch, i) && !among(contract, i)) out.push_back(i);
  }
  return out;
}

void require_pairs(const InferContext& c, const std::vector<int64_t>& lhs, const std::vector<int64_t>& rhs) {
  if (lhs.size() != rhs.size()) c.fail("axes do not pair up");
  for (size_t i = 0; i < lhs.size(); ++i) {
    const Axis& l = c.type(0).shape[static_cast<int>(lhs[i])];
    const Axis& r = c.type(1).shape[static_cast<int>(rhs[i])];
    if (l.name != r.name) c.fail(fmt::format("axis '{}' meets axis '{}'", l.name, r.name));
    if (l.size != r.size) c.fail(fmt::format("axis '{}' is {} on lhs, {} on rhs", l.name, l.size, r.size));
  }
}

}  // namespace

Value dot(Value lhs, Value rhs, std::string_view contract, DotOptions options, Where w) {
  const std::vector<Value> operands{lhs, rhs};
  require_values(Op::kDot, operands, w);
  DotAttrs a;
  for (const std::string& n : split_names(contract)) {
    if (!lhs.has(n) || !rhs.has(n)) {
      graph_error(Op::kDot, operands, fmt::format("no axis '{}' on {} to sum over", n, lhs.has(n) ? "rhs" : "lhs"), w);
    }
    if (among(a.lhs_contract, lhs.shape().find(n)))
      graph_error(Op::kDot, operands, fmt::format("axis '{}' is named twice", n), w);
    a.lhs_contract.push_back(lhs.shape().find(n));
    a.rhs_contract.push_back(rhs.shape().find(n));
  }
  for (int i = 0; i < lhs.rank(); ++i) {
    int j = rhs.shape().find(lhs.shape()[i].name);
    if (j < 0 || among(a.lhs_contract, i)) continue;
    a.lhs_batch.push_back(i);
    a.rhs_batch.push_back(j);
  }
  a.precision = options.precision.value_or(lhs.graph().precision);
  a.out = options.out.value_or(lhs.dtype());
  return lhs.graph().make(Op::kDot, operands, std::move(a), w).result();
}

Types infer_dot(const InferContext& c) {
  const DotAttrs& a = c.attr<DotAttrs>();
  if (c.type(0).dtype != c.type(1).dtype) {
    c.fail(fmt::format("element types {} and {} differ: convert one of them", name(c.type(0).dtype),
                       name(c.type(1).dtype)));
  }
  if (c.type(0).dtype == DType::kBool) c.fail("takes numbers, not bools");
  if (is_float(a.out) != is_float(c.type(0).dtype)) c.fail(fmt::format("the result cannot be {}", name(a.out)));
  require_pairs(c, a.lhs_batch, a.rhs_batch);
  require_pairs(c, a.lhs_contract, a.rhs_contract);
  std::vector<Axis> axes;
  for (int64_t i : a.lhs_batch) axes.push_back(c.type(0).shape[static_cast<int>(i)]);
  for (int64_t i : free_axes(c.type(0).shape, a.lhs_batch, a.lhs_contract))
    axes.push_back(c.type(0).shape[static_cast<int>(i)]);
  for (int64_t i : free_axes(c.type(1).shape, a.rhs_batch, a.rhs_contract)) {
    const Axis& axis = c.type(1).shape[static_cast<int>(i)];
    for (const Axis& other : axes) {
      if (other.name == axis.name) c.fail(fmt::format("axis '{}' is free on both sides", axis.name));
    }
    axes.push_back(axis);
  }
  return {{a.out, Shape(std::move(axes))}};
}

// y = sum_c lhs rhs: dlhs = sum of dy rhs over rhs's free axes, drhs = sum of dy lhs over lhs's. dy takes the operands'
// type before the product, as it would have had if y had been of that type. Names stay distinct: an axis that both dy
// and an operand have is a batch axis or is summed over.
void vjp_dot(VjpContext& c) {
  const DotAttrs& a = c.node().attr<DotAttrs>();
  Where w = c.node().where;
  for (int i = 0; i < 2; ++i) {
    if (!c.wants(i)) continue;
    const Shape& other = c.type(1 - i).shape;
    std::string summed = join_names(
        other, i == 0 ? free_axes(other, a.rhs_batch, a.rhs_contract) : free_axes(other, a.lhs_batch, a.lhs_contract));
    DType dtype = c.type(i).dtype;
    Value dy = convert(c.cotangent(), dtype, w);
    Value dx = dot(dy, c.operand(1 - i), summed, {.out = dtype, .precision = a.precision}, w);
    c.add(i, transpose(dx, join_names(c.type(i).shape), w));
  }
}

}  // namespace fathom
