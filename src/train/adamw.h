// AdamW as optax defines it, and clipping by the global norm (maxtext-facts 1.11).
#pragma once

#include "fused/adamw.h"

namespace fathom {

// The scalars of an update; `t` = update count + 1 as an f32 scalar, `clip` the factor on the gradients.
AdamScalars adam_scalars(const AdamW& options, Value rate, Value t, Value clip);

// min(1, threshold / norm), an f32 scalar; 1 for a threshold of 0 or less.
Value clip_factor(Value norm, double threshold);

}  // namespace fathom
