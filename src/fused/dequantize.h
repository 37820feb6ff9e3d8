// Weights of 8 bits with a scale for each group of 128 along a row: what they stand for.
#pragma once

#include <optional>

#include "graph/ops.h"

namespace fathom {

// q s8 [rows.. columns..], scales f32 [rows.. groups] -> q times its group's scale, as `dtype`. A row's columns are
// counted through, whatever axes they have; its last group may be smaller.
Value dequantize(Value q, Value scales, DType dtype, Where where = Where::current());

// The operands of a value that dequantize() has made: for products that read them as they are.
struct QuantizedWeight {
  Value q, scales;
};
std::optional<QuantizedWeight> quantized_weight(Value w);

}  // namespace fathom
