#include "graph/grad/sweep.h"

#include <fmt/format.h>

#include "graph/fused_op.h"
#include "graph/grad/gradients.h"
#include "graph/ops.h"

namespace fathom {

class Sweep::Context : public VjpContext {
 public:
  Context(Sweep& sweep, Node& node) : sweep_(sweep), node_(node) {}
  const Node& node() const override { return node_; }
  Value operand(int i) override { return sweep_.primal_(node_.operands[static_cast<size_t>(i)]); }
  Value result(int i) override { return sweep_.primal_(node_.result(i)); }
  Value cotangent(int i) override { return sweep_.cotangent(node_.result(i)); }
  bool wants(int i) const override {
    const Value& v = node_.operands[static_cast<size_t>(i)];
    return is_float(v.dtype()) && sweep_.wanted(v);
  }
  void add(int i, Value cotangent) override {
    if (wants(i)) sweep_.add(node_.operands[static_cast<size_t>(i)], cotangent, node_);
  }

 private:
  Sweep& sweep_;
  Node& node_;
};

Sweep::Sweep(Graph& graph, std::vector<Node*> nodes, Primal primal)
    : graph_(graph), nodes_(std::move(nodes)), primal_(std::move(primal)) {}

void Sweep::mark() {
  for (Node* node : nodes_) {
    bool leads = false;
    for (const Value& v : node->operands) leads = leads || (is_float(v.dtype()) && wanted_.contains(v));
    if (!leads || node->op == Op::kStopGradient) continue;
    for (size_t i = 0; i < node->results.size(); ++i) {
      Value r = node->result(static_cast<int>(i));
      if (is_float(r.dtype())) wanted_.insert(r);
    }
  }
}

void Sweep::add(Value v, Value cotangent, const Node& blame) {
  if (!cotangent) return;
  if (cotangent.type() != v.type()) {
    throw GraphError(fmt::format("{}: its VJP gave a cotangent {} for an operand {}; made at {}:{}", name(blame.op),
                                 cotangent.type().to_string(), v.type().to_string(), blame.where.file_name(),
                                 blame.where.line()));
  }
  Value& sum = cotangents_[v];
  sum = sum ? sum + cotangent : cotangent;
}

Value Sweep::cotangent(Value v) const {
  auto it = cotangents_.find(v);
  return it == cotangents_.end() ? Value() : it->second;
}

void Sweep::run() {
  for (auto it = nodes_.rbegin(); it != nodes_.rend(); ++it) {
    Node& node = **it;
    bool reached = false;
    bool leads = false;
    for (size_t i = 0; i < node.results.size(); ++i) {
      Value r = node.result(static_cast<int>(i));
      reached = reached || cotangents_.contains(r);
      leads = leads || wanted_.contains(r);
    }
    if (reached && leads) visit(node);
  }
}

// Copies made for the backward pass carry the forward node's path; nodes of an earlier backward pass keep theirs.
std::string Sweep::backward_scope(std::string_view scope) {
  if (scope.starts_with(kBackwardScope)) return std::string(scope);
  if (scope.starts_with(kRecomputedScope)) scope.remove_prefix(kRecomputedScope.size());
  return fmt::format("{}{}", kBackwardScope, scope);
}

void Sweep::visit(Node& node) {
  ScopePath scope(graph_, backward_scope(node.scope));
  Context context(*this, node);
  switch (node.op) {
    case Op::kScan:
      return vjp_scan(context, *this);
    case Op::kRemat:
      return vjp_remat(context, *this);
    case Op::kFused: {
      const FusedOp& op = *node.attr<FusedAttrs>().op;
      return op.vjp != nullptr ? op.vjp(context) : vjp_reference(context, *this);
    }
    default:
      break;
  }
  const OpDef& def = op_def(node.op);
  if (def.vjp == nullptr) {
    throw GraphError(fmt::format("{}: no gradient: {}; {} made at {}:{}{}", def.name, def.no_vjp,
                                 node.results[0].to_string(), node.where.file_name(), node.where.line(),
                                 node.scope.empty() ? "" : " in " + node.scope));
  }
  def.vjp(context);
}

std::vector<Value> gradients(Value loss, const std::vector<Value>& wanted, Where where) {
  if (loss.rank() != 0 || !is_float(loss.dtype())) {
    throw GraphError(fmt::format("gradients: the loss must be a float scalar, not {}; at {}:{}",
                                 loss.type().to_string(), where.file_name(), where.line()));
  }
  Graph& graph = loss.graph();
  if (&graph.insertion() != &loss.region()) {
    throw GraphError(fmt::format("gradients: the loss stands in another region than the one being built; at {}:{}",
                                 where.file_name(), where.line()));
  }
  Sweep sweep(graph, loss.region().nodes(), [](Value v) { return v; });
  for (const Value& v : wanted) {
    if (!is_float(v.dtype())) {
      throw GraphError(fmt::format("gradients: {} is not a float and has no gradient; at {}:{}", v.type().to_string(),
                                   where.file_name(), where.line()));
    }
    sweep.want(v);
  }
  sweep.mark();
  sweep.add(loss, ones_like(loss, where), loss.node());
  sweep.run();
  std::vector<Value> out;
  for (const Value& v : wanted) out.push_back(sweep.cotangent(v));
  return out;
}

}  // namespace fathom
