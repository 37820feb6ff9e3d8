// Layer normalisation with scale and bias (the indexer's keys; everything else has RMSNorm).
#pragma once

#include "graph/ops.h"

namespace fathom {

// (x - mean) / sqrt(variance + epsilon) * scale + bias, over the axis; in float32, given back in x's type.
// scale and bias [axis].
Value layer_norm(Value x, Value scale, Value bias, std::string_view axis, double epsilon,
                 Where where = Where::current());

}  // namespace fathom
