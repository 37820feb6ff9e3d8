#include "train/adamw.h"

#include <cmath>

namespace fathom {

std::vector<Moment> adamw_moments(const Config& config) { return {{"mu", config.mu_dtype}, {"nu", {}}}; }

AdamScalars adam_scalars(const AdamW& options, Value rate, Value t, Value clip) {
  // b^t as exp(t ln b).
  return {.rate = rate,
          .mu_scale = 1.0 / (1.0 - exp(t * std::log(options.b1))),
          .nu_scale = 1.0 / (1.0 - exp(t * std::log(options.b2))),
          .clip = clip};
}

Value clip_factor(Value norm, double threshold) {
  if (threshold <= 0) return constant(norm.graph(), 1, norm.type());
  return minimum(1.0, threshold / norm);
}

}  // namespace fathom
