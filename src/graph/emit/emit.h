// StableHLO text of a program, in the generic op form.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/signature.h"
#include "graph/fused_op.h"

namespace fathom {

// A staged program: its graph (arguments and results are those of the root region, in the order of the signature).
struct Program {
  std::string name;
  std::unique_ptr<Graph> graph;
  Signature signature;
};

// The module text. A pure function of the program and the target: same program, same bytes. Nodes that no result needs
// are left out. Fused ops are lowered for the target or replaced by their reference (logged once with the reason); with
// `require_kernels` a fallback is an error instead.
struct EmitOptions {
  Target target;
  bool require_kernels = false;
};
std::string emit(const Program& program, const EmitOptions& options = {});

}  // namespace fathom
