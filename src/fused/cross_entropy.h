// The two numbers that the cross entropy of a row of logits is made of.
#pragma once

#include "graph/ops.h"

namespace fathom {

struct RowScores {
  Value log_z;   // f32 [...]: log of the sum over v of the exponentials of the logits
  Value chosen;  // f32 [...]: the logit of the target; 0 for a target outside [0, v)
};

// logits [... v] in any float type (computed in f32), targets [...] s32. On the CPU their derivative takes the memory
// of the logits, so that they should not be used for anything else.
RowScores cross_entropy(Value logits, Value targets, Where where = Where::current());

// What the derivative of cross_entropy needs of each row: log_z, and the cotangents of both results; f32 [...].
struct RowCotangents {
  Value log_z, d_log_z, d_chosen;
};
// The cotangent of the logits, in their type; takes their memory as above.
Value cross_entropy_grad(Value logits, Value targets, const RowCotangents& rows, Where where = Where::current());

}  // namespace fathom
