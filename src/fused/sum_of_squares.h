// The sum of the squares of an array.
#pragma once

#include "graph/ops.h"

namespace fathom {

// In f32, a scalar. `split`: how the array is split over the mesh.
Value sum_of_squares(Value x, const Sharding& split = {}, Where where = Where::current());

}  // namespace fathom
