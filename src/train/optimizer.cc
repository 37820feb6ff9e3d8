#include "train/optimizer.h"

#include <cmath>

namespace fathom {

std::vector<Moment> optimizer_moments(const Config& config) {
  if (config.opt_type == OptType::kSgd) return {};
  return {{"mu", config.mu_dtype}, {"nu", {}}};
}

AdamScalars adam_scalars(const AdamW& options, Value rate, Value t, Value clip) {
  // b^t as exp(t ln b).
  return {.rate = rate,
          .mu_scale = 1.0 / (1.0 - exp(t * std::log(options.b1))),
          .nu_scale = 1.0 / (1.0 - exp(t * std::log(options.b2))),
          .clip = clip};
}

Value sgd(Value parameter, Value gradient, Value rate, Value clip) {
  Value step = convert(gradient, DType::kF32) * clip * rate;
  return convert(convert(parameter, DType::kF32) - step, parameter.dtype());
}

Value clip_factor(Value norm, double threshold) {
  if (threshold <= 0) return constant(norm.graph(), 1, norm.type());
  return minimum(1.0, threshold / norm);
}

}  // namespace fathom
