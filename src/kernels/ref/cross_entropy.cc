// The scalar oracle of cross entropy: float64 throughout.
#include "kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ref/element.h"

namespace fathom::ref {

void cross_entropy(const CrossEntropy& a) {
  for (int64_t r = 0; r < a.rows; ++r) {
    const int64_t row = r * a.vocab, target = a.targets[r];
    double top = -std::numeric_limits<double>::infinity();
    for (int64_t i = 0; i < a.vocab; ++i) top = std::max(top, load(a.dtype, a.logits, row + i));
    // As in the composed form: -inf for a row of -inf, inf where one logit is.
    if (!std::isfinite(top)) top = 0;
    double sum = 0;
    for (int64_t i = 0; i < a.vocab; ++i) sum += std::exp(load(a.dtype, a.logits, row + i) - top);
    a.log_z[r] = static_cast<float>(std::log(sum) + top);
    const bool inside = target >= 0 && target < a.vocab;
    a.chosen[r] = inside ? static_cast<float>(load(a.dtype, a.logits, row + target)) : 0;
  }
}

void cross_entropy_grad(const CrossEntropyGrad& a) {
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t i = 0; i < a.vocab; ++i) {
      const int64_t at = r * a.vocab + i;
      double d =
          std::exp(load(a.dtype, a.logits, at) - static_cast<double>(a.log_z[r])) * static_cast<double>(a.d_log_z[r]);
      if (i == a.targets[r]) d += static_cast<double>(a.d_chosen[r]);
      store(a.dtype, a.d_logits, at, d);
    }
  }
}

}  // namespace fathom::ref
