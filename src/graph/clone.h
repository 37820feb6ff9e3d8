// Copies of nodes, their bodies included.
#pragma once

#include <unordered_map>
#include <vector>

#include "graph/graph.h"

namespace fathom {

using ValueMap = std::unordered_map<Value, Value, ValueHash>;

// The same node with other operands, in the insertion region of `to`.
Node& copy_node(Graph& to, const Node& node, std::vector<Value> operands);

// Copies the nodes of `region` in order into the insertion region of `to`. `map` holds what the region's arguments (and
// any node results that need no copy) stand for; copies are added to it.
void copy_nodes(Graph& to, const Region& region, ValueMap& map);

}  // namespace fathom
