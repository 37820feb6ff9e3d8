// What XLA's compilers need said in other ops than each other, for the same numbers. Each entry names what it works
// around and where that was seen: with a newer plugin, try whether it can go.
#pragma once

#include <vector>

#include "base/hardware.h"
#include "graph/graph.h"

namespace fathom {

// The result of `node` in the ops that the compiler for `hardware` does well with, from its operands in the graph being
// made; null when the node can stay as it is.
Value compiler_form(Hardware hardware, const Node& node, std::vector<Value> operands);

}  // namespace fathom
