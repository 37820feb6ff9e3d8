#include "graph/flops.h"

#include <algorithm>

#include "graph/liveness.h"

namespace fathom {
namespace {

double number(int64_t x) { return static_cast<double>(x); }

double dot_flops(const Node& node) {
  double flops = 2 * number(node.results[0].shape.elements());
  const Shape& lhs = node.operands[0].shape();
  for (int64_t axis : node.attr<DotAttrs>().lhs_contract) flops *= number(lhs[static_cast<int>(axis)].size);
  return flops;
}

// Every row meets one matrix, whichever axis is summed.
double ragged_dot_flops(const Node& node) {
  const Shape& rhs = node.operands[1].shape();
  int64_t matrix = rhs.rank() == 3 ? rhs[1].size * rhs[2].size : node.operands[0].shape()[1].size * rhs[1].size;
  return 2 * number(node.operands[0].shape()[0].size) * number(matrix);
}

class Counter {
 public:
  Counter(const std::vector<Value>& results, const Target& target) : live_(results), target_(target) {}

  double region(const Region& region) const {
    double sum = 0;
    for (const Node* node : region.nodes()) {
      if (live_.live(*node)) sum += flops(*node);
    }
    return sum;
  }

 private:
  double flops(const Node& node) const {
    switch (node.op) {
      case Op::kDot:
        return dot_flops(node);
      case Op::kRaggedDot:
        return ragged_dot_flops(node);
      case Op::kFused:
        return fused_flops(node);
      case Op::kScan:
        return number(node.attr<ScanAttrs>().length) * region(*node.regions[0]);
      default:
        break;
    }
    double sum = 0;
    for (const auto& body : node.regions) sum += region(*body);
    return sum;
  }

  double fused_flops(const Node& node) const {
    const FusedAttrs& attrs = node.attr<FusedAttrs>();
    if (attrs.op->flops != nullptr) return attrs.op->flops(node, target_);
    Graph graph;
    graph.precision = node.operands[0].graph().precision;
    graph.partition = node.operands[0].graph().partition;
    std::vector<Value> operands;
    for (const Value& v : node.operands) operands.push_back(graph.arg("operand", v.type(), node.where));
    std::vector<Value> made = attrs.op->reference(operands, attrs, graph);
    for (size_t i = 0; i < made.size(); ++i) {
      if (live_.live({const_cast<Node*>(&node), static_cast<int>(i)})) graph.root().results.push_back(made[i]);
    }
    return product_flops(graph, target_);
  }

  Liveness live_;
  const Target& target_;
};

}  // namespace

double product_flops(const Graph& graph, const Target& target) {
  return Counter(graph.root().results, target).region(graph.root());
}

}  // namespace fathom
