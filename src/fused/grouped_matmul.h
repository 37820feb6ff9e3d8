// Products of rows with one matrix per group: what the experts of a mixture compute on tokens sorted by expert.
#pragma once

#include "graph/ops.h"

namespace fathom {

// x [m k], w [e n k], group_sizes [e] s32 -> [m n]: rows [0, sizes[0]) times w[0]^T, the next sizes[1] rows times
// w[1]^T, and so on. The sizes sum to at most m; what the result holds in the rows behind the last group is not to be
// used (the kernel writes zeros there, other forms leave what their tiles held). The axes may have any names; x's last
// and w's last are contracted. With `transposed`, x is [m n] and the result [m k]: rows times w, not its transpose.
struct GroupedOptions {
  bool transposed = false;
};
Value grouped_matmul(Value x, Value w, Value group_sizes, GroupedOptions options = {}, Where where = Where::current());

// a [m n], b [m k], group_sizes [e] s32 -> [e n k]: for each group the transpose of its rows of a times those of b;
// zeros for a group without rows. The sizes sum to at most m.
Value grouped_outer(Value a, Value b, Value group_sizes, Where where = Where::current());

}  // namespace fathom
