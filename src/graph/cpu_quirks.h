// What XLA:CPU needs said in other ops than other compilers, for the same numbers. Each entry names what it works
// around and where that was seen: with a newer plugin, try whether it can go.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace fathom {

// The result of `node` in the ops that XLA:CPU does well with, from its operands in the graph being made; null when the
// node can stay as it is.
Value cpu_form(const Node& node, const std::vector<Value>& operands);

}  // namespace fathom
