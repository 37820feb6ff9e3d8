// The scalar oracle of products of few rows: float64 sums, no blocking.
#include "kernels/gemv.h"

#include "kernels/ref/element.h"

namespace fathom::ref {
namespace {

double weight(const Gemv& g, int64_t row, int64_t column) {
  const int64_t at = row * g.k + column;
  if (g.weight_dtype != DType::kS8) {
    const auto value = static_cast<float>(load(g.weight_dtype, g.weights, at));
    return g.dtype == DType::kBF16 ? bf16_to_float(float_to_bf16(value)) : value;
  }
  const double scale = g.scales[row * scale_groups(g.k) + column / abi::kScaleGroup];
  return scale * static_cast<const int8_t*>(g.weights)[at];
}

}  // namespace

void gemv(const Gemv& g) {
  check_which(g);
  for (int64_t r = 0; r < g.rows(); ++r) {
    const int64_t matrix = g.which[static_cast<size_t>(r)] * g.height + g.first;
    for (int64_t j = 0; j < g.width(); ++j) {
      double sum = 0;
      for (int64_t i = 0; i < g.depth(); ++i) {
        sum += load(g.dtype, g.x, r * g.depth() + i) *
               (g.transposed ? weight(g, matrix + i, j) : weight(g, matrix + j, i));
      }
      store(g.y_dtype, g.y, r * g.width() + j, sum);
    }
  }
}

}  // namespace fathom::ref
