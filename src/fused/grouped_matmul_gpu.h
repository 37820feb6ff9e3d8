// The grouped products (fused/grouped_matmul.h) as one batched product over tiles of a fixed number of rows. This is
// their form for GPUs: nothing depends on data but indices, while a loop whose length does costs a round trip to the
// host at each turn, and `chlo.ragged_dot` there multiplies every row with every matrix.
#pragma once

#include "graph/ops.h"

namespace fathom {

// Operands and results as of grouped_matmul, whichever way the matrices lie, and of grouped_outer. Both copy matrices
// or results tile by tile: about three times as many as there are groups.
Value tiled_matmul(Value x, Value w, Value group_sizes);
// The results of all tiles are float32; where they would take more than `parts_bytes`, columns of `a` are gone through
// piece by piece.
inline constexpr int64_t kPartsBytes = int64_t{512} << 20;
Value tiled_outer(Value a, Value b, Value group_sizes, int64_t parts_bytes = kPartsBytes);

}  // namespace fathom
