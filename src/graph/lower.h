// The last pass before printing: a copy of the graph in which only live nodes stand, remat regions are opened, marks
// are gone and fused ops have become the target's custom calls or their references.
#pragma once

#include <memory>

#include "graph/fused_op.h"

namespace fathom {

struct LowerOptions {
  Target target;
  bool require_kernels = false;  // a fused op without a kernel is a GraphError instead of a log line
};

std::unique_ptr<Graph> lower(const Graph& graph, const LowerOptions& options);

}  // namespace fathom
