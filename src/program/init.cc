#include <cmath>
#include <numbers>

#include "program/builder.h"

namespace fathom {
namespace {

// Inverse error function for |x| <= 0.96: the central branch of M. Giles, "Approximating the erfinv function" (GPU
// Computing Gems, 2010), good to single precision.
Value central_erf_inv(Value x) {
  constexpr double kCoefficients[] = {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                                      -0.00125372503, -0.00417768164, 0.246640727,    1.50140941};
  Value w = -log((1.0 - x) * (1.0 + x)) - 2.5;
  Value p = w * kCoefficients[0] + kCoefficients[1];
  for (size_t i = 2; i < std::size(kCoefficients); ++i) p = p * w + kCoefficients[i];
  return p * x;
}

// A normal variable cut at two standard deviations, rescaled to variance 1 (0.8796... is its deviation before).
Value truncated_normal(Value key, const Shape& shape) {
  constexpr double kDeviation = 0.87962566103423978;
  double limit = std::erf(std::numbers::sqrt2);  // erf(2 / sqrt 2)
  Value u = random_uniform(key, shape) * (2 * limit) - limit;
  return central_erf_inv(u) * (std::numbers::sqrt2 / kDeviation);
}

Value initial(Graph& g, const Param& param, const ParamArray& array, Value seed) {
  const Shape& shape = array.type.shape;
  if (param.init == Init::kOnes) return constant(g, 1, array.type);
  if (param.init == Init::kZeros) return zeros(g, array.type);
  // The name alone makes the key, so the numbers depend on neither the order of the arrays nor the mesh.
  Value key = rng_key(g, array.name, seed);
  double deviation = param.init == Init::kNormal ? 1.0 : 1.0 / std::sqrt(static_cast<double>(param.fan_in));
  Value x = param.init == Init::kTruncatedFanIn ? truncated_normal(key, shape) : random_normal(key, shape);
  return convert(x * deviation, array.type.dtype);
}

}  // namespace

Program init_state(const StateSpec& spec, const StateChoice& choice) {
  ProgramBuilder b("init_state", Precision::kDefault, spec);
  Value seed = b.arg("seed", {DType::kS32, {}});
  for (const StateEntry& e : spec.entries) {
    if (!choice(e)) continue;
    Scope scope(b.graph(), e.name);
    b.state_result(
        e, e.is_parameter() ? initial(b.graph(), spec.param(e), spec.arrays[e.array], seed) : zeros(b.graph(), e.type));
  }
  return b.finish();
}

}  // namespace fathom
