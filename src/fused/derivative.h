// What fused ops share whose derivative is a fused op too.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "graph/fused_op.h"
#include "graph/ops.h"

namespace fathom {

// The VJP of an op with one result: `grad` takes the op's operands and behind them the result's cotangent, has the op's
// attributes, and gives the cotangents of the operands `of`, in this order.
inline void vjp_by(const FusedOp& grad, VjpContext& c, std::initializer_list<int> of) {
  Value dy = c.cotangent();
  if (!dy) return;
  std::vector<Value> operands;
  for (size_t i = 0; i < c.node().operands.size(); ++i) operands.push_back(c.operand(static_cast<int>(i)));
  operands.push_back(dy);
  std::vector<Value> d = fused(dy.graph(), grad, std::move(operands), c.node().attr<FusedAttrs>(), Where::current());
  size_t next = 0;
  for (int i : of) c.add(i, d.at(next++));
}

}  // namespace fathom
