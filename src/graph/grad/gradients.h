// Reverse-mode differentiation of a graph under construction.
#pragma once

#include <vector>

#include "graph/ops.h"

namespace fathom {

// Gradients of the scalar float `loss` with respect to `wanted` (program arguments or any values of the insertion
// region's graph made before). The nodes of the gradient go to the insertion region, which must be the one `loss`
// stands in. A wanted value that the loss does not reach gives a null Value ("no gradient", which is not zero). Throws
// GraphError naming the op and its reason where the way from the loss to a wanted value leads through an op that has no
// gradient; integer and bool values never carry gradients.
std::vector<Value> gradients(Value loss, const std::vector<Value>& wanted, Where where = Where::current());

}  // namespace fathom
