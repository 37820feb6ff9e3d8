#include "graph/liveness.h"

#include <algorithm>

namespace fathom {

int arg_position(Value arg) {
  const std::vector<Value>& args = arg.region().args();
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == arg) return static_cast<int>(i);
  }
  return -1;
}

int uses_of(const Region& region, Value v) {
  auto uses = std::count(region.results.begin(), region.results.end(), v);
  for (const Node* node : region.nodes()) {
    uses += std::count(node->operands.begin(), node->operands.end(), v);
    for (const auto& inner : node->regions) uses += uses_of(*inner, v);
  }
  return static_cast<int>(uses);
}

Liveness::Liveness(const std::vector<Value>& results) {
  for (const Value& v : results) mark(v);
  while (!pending_.empty()) {
    Value v = pending_.back();
    pending_.pop_back();
    visit(v);
  }
}

bool Liveness::live(const Node& node) const {
  for (size_t i = 0; i < node.results.size(); ++i) {
    if (live_.contains(Value(const_cast<Node*>(&node), static_cast<int>(i)))) return true;
  }
  return false;
}

void Liveness::mark(Value v) {
  if (live_.insert(v).second) pending_.push_back(v);
}

void Liveness::visit(Value v) {
  Node& node = v.node();
  size_t i = static_cast<size_t>(v.index());
  switch (node.op) {
    case Op::kArg:
      return visit_arg(v);
    case Op::kScan:
      return visit_scan(node, v.index());
    case Op::kRemat:
      return mark(node.regions[0]->results[i]);
    case Op::kSaved:
      return mark(node.operands[0]);
    default:
      for (const Value& operand : node.operands) mark(operand);
      for (const auto& region : node.regions) {
        for (const Value& r : region->results) mark(r);
      }
  }
}

void Liveness::visit_arg(Value v) {
  Node* owner = v.region().owner();
  if (owner == nullptr) return;
  int position = arg_position(v);
  switch (owner->op) {
    case Op::kScan: {
      if (position == 0) return;  // the index
      mark(owner->operands[static_cast<size_t>(position - 1)]);
      int carries = owner->attr<ScanAttrs>().carries;
      if (position <= carries) mark(owner->regions[0]->results[static_cast<size_t>(position - 1)]);
      return;
    }
    case Op::kRemat:
      return mark(owner->operands[static_cast<size_t>(position)]);
    default:
      return;  // the other region ops are live as a whole
  }
}

void Liveness::visit_scan(Node& node, int result) {
  const ScanAttrs& attrs = node.attr<ScanAttrs>();
  Region& body = *node.regions[0];
  if (result < attrs.carries) {
    mark(body.args()[static_cast<size_t>(result) + 1]);
  } else {
    mark(body.results[static_cast<size_t>(result)]);
  }
}

}  // namespace fathom
