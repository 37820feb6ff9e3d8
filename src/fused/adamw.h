// One step of AdamW for one array.
#pragma once

#include "graph/ops.h"

namespace fathom {

struct AdamW {
  double b1 = 0.9;
  double b2 = 0.95;
  double eps = 1e-8;    // outside the root
  double eps_root = 0;  // inside
  double weight_decay = 0.1;
};

struct AdamState {
  Value parameter;  // of the weight dtype
  Value mu;         // first moment, of mu_dtype
  Value nu;         // second moment, of the weight dtype
};

// What changes from step to step; f32 scalars.
struct AdamScalars {
  Value rate;
  Value mu_scale, nu_scale;  // 1 / (1 - b1^t), 1 / (1 - b2^t)
  Value clip;                // factor on the gradient
};

struct AdamStep {
  AdamState state;
  Value squares;  // f32 scalar: sum of squares of the new parameter
};

// parameter -= rate (mu_scale mu / (sqrt(nu_scale nu + eps_root) + eps) + weight_decay parameter) with the moments of
// gradient * clip taken in first. The four arrays have one shape; arithmetic is f32. `split`: how they are split over
// the mesh. On the CPU the new state is in the memory of the old one.
AdamStep adamw(const AdamW& options, const AdamState& state, Value gradient, const AdamScalars& scalars,
               const Sharding& split = {}, Where where = Where::current());

}  // namespace fathom
