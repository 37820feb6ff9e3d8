// AdamW as optax defines it, and clipping by the global norm (maxtext-facts 1.11).
#pragma once

#include <vector>

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

// One update: w -= rate * (mhat / (sqrt(nhat + eps_root) + eps) + weight_decay * w), mhat = mu / (1 - b1^t),
// nhat = nu / (1 - b2^t). `gradient` has the parameter's shape; `t` = update count + 1 as an f32 scalar; arithmetic is
// f32. `decay` false leaves the weight decay out.
AdamState adamw_update(const AdamW& options, const AdamState& state, Value gradient, Value rate, Value t, bool decay);

// Sum of squares of a tensor in f32, a scalar.
Value sum_of_squares(Value x);

// g * min(1, threshold / norm) for each; a threshold of 0 or less leaves them alone.
std::vector<Value> clip_by_norm(std::vector<Value> gradients, Value norm, double threshold);

}  // namespace fathom
