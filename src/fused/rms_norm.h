// Normalisation by the root of the mean square, with a derivative that keeps little of the forward pass.
#pragma once

#include <string_view>

#include "graph/ops.h"

namespace fathom {

// x / sqrt(mean(x^2) + eps) * scale over one axis; computed in float32, rounded to x's type before the scale (Hugging
// Face and MaxText agree on this order). The derivative needs x, the scale and one number a row.
Value rms_norm(Value x, Value scale, std::string_view axis, double eps, Where where = Where::current());

}  // namespace fathom
