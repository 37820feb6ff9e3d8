// Weights as numbers of 8 bits, each group of 128 along a row with a scale.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace fathom {

// Of `rows` rows of `columns` float32 or bfloat16 numbers (finite): a group's scale is its largest magnitude / 127, and
// a weight w becomes the whole number nearest to w / scale, ties to even; a group of zeros has scale 0. On all cores.
//   q [rows, columns], scales [rows, ceil(columns / 128)]
void quantize_int8(DType dtype, const std::byte* weights, int64_t rows, int64_t columns, int8_t* q, float* scales);

}  // namespace fathom
