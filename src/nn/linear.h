// The small layers: products with a weight, normalisation, gated MLP activation, embedding look-up.
#pragma once

#include "graph/ops.h"

namespace fathom {

// x times w over the named axes ("d", "h u"), which both have; w is taken in x's type. The result has x's other axes,
// then w's: linear([b s d], [h np d], "d") -> [b s h np].
Value linear(Value x, Value w, std::string_view axes, Where where = Where::current());

// x / sqrt(mean(x^2) + eps) * scale over one axis; computed in float32, rounded to x's type before the scale (Hugging
// Face and MaxText agree on this order).
Value rms_norm(Value x, Value scale, std::string_view axis, double eps, Where where = Where::current());

// silu(gate) * up, in their type, or inside in float32.
Value gated_silu(Value gate, Value up, bool in_float32, Where where = Where::current());

// Rows of table [v d] at tokens [b s], as `dtype`.
Value embed(Value table, Value tokens, DType dtype, Where where = Where::current());

}  // namespace fathom
