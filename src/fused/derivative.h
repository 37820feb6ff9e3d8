// What fused ops share whose derivative is a fused op too, and which run on each device's parts of their operands.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "graph/fused_op.h"
#include "graph/ops.h"

namespace fathom {

// Adds the cotangents of the operands `of`: in this order, the results of `grad` with the attributes of the op.
inline void add_results_of(const FusedOp& grad, VjpContext& c, std::vector<Value> operands,
                           std::initializer_list<int> of) {
  Graph& g = operands[0].graph();
  std::vector<Value> d = fused(g, grad, std::move(operands), c.node().attr<FusedAttrs>(), Where::current());
  size_t next = 0;
  for (int i : of) c.add(i, d.at(next++));
}

// The VJP of an op with one result: `grad` takes the op's operands and behind them the result's cotangent, has the op's
// attributes, and gives the cotangents of the operands `of`, in this order.
inline void vjp_by(const FusedOp& grad, VjpContext& c, std::initializer_list<int> of) {
  Value dy = c.cotangent();
  if (!dy) return;
  std::vector<Value> operands;
  for (size_t i = 0; i < c.node().operands.size(); ++i) operands.push_back(c.operand(static_cast<int>(i)));
  operands.push_back(dy);
  add_results_of(grad, c, std::move(operands), of);
}

// In a per-device region: the node's own op on one device's parts of its operands.
inline std::vector<Value> on_parts(const Node& node, std::vector<Value> parts) {
  const FusedAttrs& attrs = node.attr<FusedAttrs>();
  Graph& g = parts[0].graph();
  return fused(g, *attrs.op, std::move(parts), attrs, node.where);
}

}  // namespace fathom
