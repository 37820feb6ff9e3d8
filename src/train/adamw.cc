#include "train/adamw.h"

#include <cmath>

namespace fathom {

AdamState adamw_update(const AdamW& options, const AdamState& state, Value gradient, Value rate, Value t, bool decay) {
  Value g = convert(gradient, DType::kF32);
  Value w = convert(state.parameter, DType::kF32);
  Value mu = convert(state.mu, DType::kF32) * options.b1 + g * (1.0 - options.b1);
  Value nu = convert(state.nu, DType::kF32) * options.b2 + g * g * (1.0 - options.b2);
  // b^t as exp(t ln b): scalars.
  Value mu_scale = 1.0 / (1.0 - exp(t * std::log(options.b1)));
  Value nu_scale = 1.0 / (1.0 - exp(t * std::log(options.b2)));
  Value root = nu * nu_scale;
  if (options.eps_root != 0) root = root + options.eps_root;
  Value step = mu * mu_scale / (sqrt(root) + options.eps);
  if (decay) step = step + w * options.weight_decay;
  return {.parameter = convert(w - step * rate, state.parameter.dtype()),
          .mu = convert(mu, state.mu.dtype()),
          .nu = convert(nu, state.nu.dtype())};
}

Value sum_of_squares(Value x) {
  x = convert(x, DType::kF32);
  return reduce_sum(x * x, "");
}

std::vector<Value> clip_by_norm(std::vector<Value> gradients, Value norm, double threshold) {
  if (threshold <= 0) return gradients;
  Value factor = minimum(1.0, threshold / norm);
  for (Value& g : gradients) g = convert(convert(g, DType::kF32) * factor, g.dtype());
  return gradients;
}

}  // namespace fathom
