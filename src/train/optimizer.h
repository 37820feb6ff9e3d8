// Optimizers as optax defines them, and clipping by the global norm.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "fused/adamw.h"

namespace fathom {

// A number that the optimizer keeps for each number that it trains.
struct Moment {
  std::string_view name;
  std::optional<DType> dtype;  // nothing: the parameter's
};
// Of AdamW "mu", the first, and "nu", the second, in its order; of SGD none.
std::vector<Moment> optimizer_moments(const Config& config);

// The scalars of a step of AdamW; `t` = update count + 1 as an f32 scalar, `clip` the factor on the gradients.
AdamScalars adam_scalars(const AdamW& options, Value rate, Value t, Value clip);

// A step of SGD without momentum: parameter - rate clip gradient, in the parameter's type; arithmetic is f32.
Value sgd(Value parameter, Value gradient, Value rate, Value clip);

// min(1, threshold / norm), an f32 scalar; 1 for a threshold of 0 or less.
Value clip_factor(Value norm, double threshold);

}  // namespace fathom
