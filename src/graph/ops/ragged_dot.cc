// Products of groups of rows, each with a matrix of its own.
#include "graph/ops/build.h"
#include "graph/ops/rules.h"

namespace fathom {

Value ragged_dot(Value lhs, Value rhs, Value group_sizes, std::string_view contract, Where w) {
  const std::vector<Value> operands{lhs, rhs, group_sizes};
  require_values(Op::kRaggedDot, operands, w);
  DotAttrs a;
  a.lhs_contract = {axis_of(Op::kRaggedDot, lhs, contract, w)};
  a.rhs_contract = {axis_of(Op::kRaggedDot, rhs, contract, w)};
  a.precision = lhs.graph().precision;
  a.out = lhs.dtype();
  return lhs.graph().make(Op::kRaggedDot, operands, std::move(a), w).result();
}

Types infer_ragged_dot(const InferContext& c) {
  const DotAttrs& a = c.attr<DotAttrs>();
  const Shape &lhs = c.type(0).shape, &rhs = c.type(1).shape, &sizes = c.type(2).shape;
  if (c.type(0).dtype != c.type(1).dtype || !is_float(a.out)) c.fail("needs floats of one type");
  if (c.type(2).dtype != DType::kS32 || sizes.rank() != 1) c.fail("the group sizes must be s32 with one axis");
  bool over_rows = a.lhs_contract[0] == 0;
  if (lhs.rank() != 2 || rhs.rank() != (over_rows ? 2 : 3)) {
    c.fail("takes rows [m k] and matrices [e n k], or rows [m n] and [m k] summed over their first axis");
  }
  auto from = static_cast<int>(a.rhs_contract[0]);
  if (lhs[static_cast<int>(a.lhs_contract[0])].size != rhs[from].size) c.fail("the sizes of the summed axis differ");
  if (over_rows) {
    if (from != 0) c.fail("rows are the first axis of both operands");
    return {{a.out, Shape{sizes[0], lhs[1], rhs[1]}}};
  }
  if (from == 0 || sizes[0].size != rhs[0].size) c.fail("needs a matrix for each group size");
  return {{a.out, Shape{lhs[0], rhs[3 - from]}}};
}

}  // namespace fathom
