// The product that a machine's rate is measured with.
#pragma once

#include "graph/emit/emit.h"

namespace fathom {

// Arguments: two float32 matrices [size, size]; result: their product.
Program square_product(int64_t size);

}  // namespace fathom
