// AdamW as optax defines it, and clipping by the global norm.
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
// "mu", the first, and "nu", the second, in AdamW's order.
std::vector<Moment> adamw_moments(const Config& config);

// The scalars of an update; `t` = update count + 1 as an f32 scalar, `clip` the factor on the gradients.
AdamScalars adam_scalars(const AdamW& options, Value rate, Value t, Value clip);

// min(1, threshold / norm), an f32 scalar; 1 for a threshold of 0 or less.
Value clip_factor(Value norm, double threshold);

}  // namespace fathom
