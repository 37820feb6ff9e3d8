// The products of experts' linear layers in numbers of 8 bits (fused/fp8.h): grouped_matmul and grouped_outer
// (fused/grouped_matmul.h) of rounded operands.
#pragma once

#include "graph/ops.h"

namespace fathom {

// grouped_matmul of x rounded in blocks of 1 x 128 along the summed axis and of each matrix rounded in blocks of
// 128 x 128. The derivative is made of such products.
Value fp8_grouped_matmul(Value x, Value w, Value group_sizes, bool transposed, Where where = Where::current());

// grouped_outer of a and b rounded in blocks of 128 x 1 along the rows, which begin at each group's first row.
Value fp8_grouped_outer(Value a, Value b, Value group_sizes);

// How experts' linear layers multiply: in numbers of 8 bits, or as grouped_matmul and grouped_outer do.
struct ExpertProducts {
  bool fp8 = false;

  Value matmul(Value x, Value w, Value group_sizes, bool transposed = false, Where where = Where::current()) const;
  Value outer(Value a, Value b, Value group_sizes) const;
};

}  // namespace fathom
