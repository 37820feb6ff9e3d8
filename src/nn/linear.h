// The small layers: products with a weight, embedding look-up.
#pragma once

#include "graph/ops.h"

namespace fathom {

// x times w over the named axes ("d", "h u"), which both have; w is taken in x's type. The result has x's other axes,
// then w's: linear([b s d], [h np d], "d") -> [b s h np]; its type is `out` where given, else x's.
Value linear(Value x, Value w, std::string_view axes, std::optional<DType> out = {}, Where where = Where::current());

// Rows of table [v d] at tokens [b s], as `dtype`.
Value embed(Value table, Value tokens, DType dtype, Where where = Where::current());

}  // namespace fathom
