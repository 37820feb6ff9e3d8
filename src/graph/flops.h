// How much a program multiplies.
#pragma once

#include "graph/fused_op.h"

namespace fathom {

// Floating-point operations of the products of a program, two for each pair of numbers, on all devices together: those
// that its results need, in loops as often as they turn. `graph` is as it was staged; what a remat region computes
// again stands there twice. A fused op counts as its kernel for the target works (FusedOp::flops), or as its reference.
double product_flops(const Graph& graph, const Target& target);

}  // namespace fathom
