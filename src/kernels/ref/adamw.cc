// The scalar oracle of the optimizer's passes: one element after the other, sums in float64.
#include "kernels/adamw.h"

#include <cmath>

#include "kernels/ref/element.h"

namespace fathom::ref {
namespace {

float load32(DType dtype, const void* data, int64_t i) { return static_cast<float>(load(dtype, data, i)); }

float rounded(DType dtype, float value) { return dtype == DType::kBF16 ? bf16_to_float(float_to_bf16(value)) : value; }

}  // namespace

float adamw(const AdamWStep& a) {
  const auto b1 = static_cast<float>(a.b1), b2 = static_cast<float>(a.b2);
  const auto rest1 = static_cast<float>(1.0 - a.b1), rest2 = static_cast<float>(1.0 - a.b2);
  for (int64_t i = 0; i < a.count; ++i) {
    const float g = rounded(a.gradient_dtype, load32(a.gradient_dtype, a.gradient, i) * a.clip);
    const float w = load32(a.parameter_dtype, a.parameter, i);
    const float mu = load32(a.mu_dtype, a.mu, i) * b1 + g * rest1;
    const float nu = load32(a.parameter_dtype, a.nu, i) * b2 + g * g * rest2;
    const float root = std::sqrt(nu * a.nu_scale + static_cast<float>(a.eps_root));
    const float step = mu * a.mu_scale / (root + static_cast<float>(a.eps)) + w * static_cast<float>(a.weight_decay);
    store(a.parameter_dtype, a.parameter, i, w - step * a.rate);
    store(a.mu_dtype, a.mu, i, mu);
    store(a.parameter_dtype, a.nu, i, nu);
  }
  return sum_of_squares(a.parameter_dtype, a.parameter, a.count);
}

float sum_of_squares(DType dtype, const void* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double value = load(dtype, x, i);
    sum += value * value;
  }
  return static_cast<float>(sum);
}

}  // namespace fathom::ref
