#include "kernels/selected_loss.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

// MaxText's number, in the logarithms and the norm.
constexpr float kTiny = 1e-8F;

}  // namespace

float query_loss(int64_t heads, std::span<float> target, std::span<float> scores) {
  float sum = 0;
  for (float& x : target) sum += x /= static_cast<float>(heads);
  const float top = *std::max_element(scores.begin(), scores.end());
  float z = 0;
  for (float& x : scores) z += x = std::exp(x - top);
  float loss = 0;
  for (size_t i = 0; i < target.size(); ++i) {
    target[i] /= sum + kTiny;
    scores[i] /= z;
    loss += target[i] * (std::log(target[i] + kTiny) - std::log(scores[i] + kTiny));
  }
  return loss;
}

void query_loss_grad(float d_kl, std::span<const float> p, std::span<float> r) {
  float mean = 0;
  for (size_t i = 0; i < r.size(); ++i) mean -= r[i] * p[i] / (r[i] + kTiny);
  for (size_t i = 0; i < r.size(); ++i) r[i] *= d_kl * (-p[i] / (r[i] + kTiny) - mean);
}

}  // namespace fathom
