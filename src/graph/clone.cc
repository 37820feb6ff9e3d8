#include "graph/clone.h"

namespace fathom {
namespace {

Value lookup(const ValueMap& map, Value v) {
  auto it = map.find(v);
  return it == map.end() ? v : it->second;
}

std::unique_ptr<Region> copy_region(Graph& to, const Region& from) {
  auto region = std::make_unique<Region>(to, nullptr, &to.insertion());
  ValueMap map;
  for (const Value& arg : from.args()) {
    map[arg] = region->add_arg(arg.type(), arg.node().attr<ArgAttrs>().name, arg.node().where);
  }
  Insertion inside(*region);
  copy_nodes(to, from, map);
  for (const Value& r : from.results) region->results.push_back(lookup(map, r));
  return region;
}

}  // namespace

Node& copy_node(Graph& to, const Node& node, std::vector<Value> operands) {
  std::vector<std::unique_ptr<Region>> regions;
  for (const auto& region : node.regions) regions.push_back(copy_region(to, *region));
  Node& copy = to.make_typed(node.op, std::move(operands), node.results, node.attrs, node.where);
  copy.scope = node.scope;
  for (auto& region : regions) region->set_owner(&copy);
  copy.regions = std::move(regions);
  return copy;
}

void copy_nodes(Graph& to, const Region& region, ValueMap& map) {
  for (const Node* node : region.nodes()) {
    if (map.contains(const_cast<Node*>(node)->result())) continue;
    std::vector<Value> operands;
    for (const Value& v : node->operands) operands.push_back(lookup(map, v));
    Node& copy = copy_node(to, *node, std::move(operands));
    for (int i = 0; i < static_cast<int>(node->results.size()); ++i) {
      map[Value(const_cast<Node*>(node), i)] = copy.result(i);
    }
  }
}

}  // namespace fathom
