#include "program/initial_values.h"

#include <cmath>
#include <numbers>

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
Value truncated_normal(const Words& bits) {
  constexpr double kDeviation = 0.87962566103423978;
  const double limit = std::erf(std::numbers::sqrt2);  // erf(2 / sqrt 2)
  return central_erf_inv(random_uniform(bits) * limit) * (std::numbers::sqrt2 / kDeviation);
}

// A counter for each element. The second word counts the trailing axes of one layer's tensor as far as 32 bits go (an
// expert stack of 58 layers has 2^37.7 elements), the first one the leading axes and the layers.
Words counters_of(Graph& g, const Param& param, const ParamArray& array) {
  const Shape& layer = param.type.shape;
  int64_t inner = 1, outer = 1;
  int leading = layer.rank();
  while (leading > 0 && inner <= (int64_t{1} << 32) / std::max<int64_t>(layer[leading - 1].size, 1)) {
    inner *= layer[--leading].size;
  }
  for (int i = 0; i < leading; ++i) outer *= layer[i].size;
  const int stacked = array.type.shape.rank() - layer.rank();
  return element_counters(g, array.type.shape, stacked + leading, std::max<int64_t>(array.layer, 0) * outer);
}

}  // namespace

Value initial_value(Graph& g, const Param& param, const ParamArray& array, Value seed) {
  if (param.init == Init::kOnes) return constant(g, 1, array.type);
  if (param.init == Init::kZeros) return zeros(g, array.type);
  const Words bits = threefry(rng_key(param.name, seed), counters_of(g, param, array));
  const double deviation = param.init == Init::kNormal ? 1.0 : 1.0 / std::sqrt(static_cast<double>(param.fan_in));
  Value x = param.init == Init::kTruncatedFanIn ? truncated_normal(bits) : random_normal(bits);
  return convert(x * deviation, array.type.dtype);
}

HostArray seed_words(int64_t seed) {
  HostArray out = HostArray::allocate(DType::kU32, {2});
  const auto bits = static_cast<uint64_t>(seed);
  out.mutable_view<uint32_t>()[0] = static_cast<uint32_t>(bits >> 32);
  out.mutable_view<uint32_t>()[1] = static_cast<uint32_t>(bits);
  return out;
}

}  // namespace fathom
