// The scalar oracle of the activation: one element after the other, in float64.
#include "kernels/gated_silu.h"

#include <cmath>

#include "kernels/ref/element.h"

namespace fathom::ref {

void gated_silu(const GatedSilu& a) {
  for (int64_t i = 0; i < a.count; ++i) {
    const double gate = load(a.dtype, a.gate, i);
    store(a.dtype, a.y, i, gate / (1 + std::exp(-gate)) * load(a.dtype, a.up, i));
  }
}

void gated_silu_grad(const GatedSiluDerivative& a) {
  for (int64_t i = 0; i < a.count; ++i) {
    const double gate = load(a.dtype, a.gate, i), d = load(a.dtype, a.d, i);
    const double s = 1 / (1 + std::exp(-gate));
    store(a.dtype, a.d_gate, i, d * load(a.dtype, a.up, i) * s * (1 + gate * (1 - s)));
    store(a.dtype, a.d_up, i, d * gate * s);
  }
}

}  // namespace fathom::ref
