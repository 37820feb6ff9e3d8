// The scalar oracle of attention over latents: float64 sums, no blocking.
#include "kernels/latent_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/ref/element.h"

namespace fathom::ref {

void latent_attention(const LatentAttention& a) {
  std::vector<double> p(static_cast<size_t>(a.t));
  for (int64_t row = 0; row < a.b * a.s * a.h; ++row) {
    const int64_t query = row / a.h, batch = query / a.s;
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    auto sees = [&](int64_t t) { return a.visible[query * a.t + t]; };
    for (int64_t t = 0; t < a.t; ++t) {
      if (!sees(t)) continue;
      double& score = p[static_cast<size_t>(t)] = 0;
      const int64_t key = batch * a.t + t;
      for (int64_t i = 0; i < a.c; ++i) score += load(a.dtype, a.q, row * a.c + i) * load(a.dtype, a.kv, key * a.c + i);
      for (int64_t i = 0; i < a.w; ++i) {
        score += load(a.dtype, a.q_rotated, row * a.w + i) * load(a.dtype, a.rotated, key * a.w + i);
      }
      top = std::max(top, score);
    }
    for (int64_t t = 0; t < a.t; ++t) {
      double& weight = p[static_cast<size_t>(t)];
      weight = sees(t) ? std::exp(weight - top) : 0;
      sum += weight;
    }
    for (int64_t i = 0; i < a.c; ++i) {
      double out = 0;
      for (int64_t t = 0; t < a.t; ++t) {
        if (sees(t)) out += p[static_cast<size_t>(t)] * load(a.dtype, a.kv, (batch * a.t + t) * a.c + i);
      }
      store(a.dtype, a.out, row * a.c + i, sum > 0 ? out / sum : 0);
    }
  }
}

}  // namespace fathom::ref
