// The scalar oracle of the grouped products: float64 sums, no blocking.
#include "kernels/grouped.h"

#include <vector>

#include "base/bf16.h"

namespace fathom::ref {
namespace {

double load(DType dtype, const void* data, int64_t i) {
  if (dtype == DType::kBF16) return static_cast<double>(bf16_to_float(static_cast<const uint16_t*>(data)[i]));
  return static_cast<double>(static_cast<const float*>(data)[i]);
}

void store(DType dtype, void* data, int64_t i, double value) {
  if (dtype == DType::kBF16) {
    static_cast<uint16_t*>(data)[i] = float_to_bf16(static_cast<float>(value));
  } else {
    static_cast<float*>(data)[i] = static_cast<float>(value);
  }
}

}  // namespace

void grouped_matmul(const GroupedMatmul& g) {
  int64_t depth = g.transposed ? g.n : g.k;
  int64_t width = g.transposed ? g.k : g.n;
  int64_t row = 0;
  for (size_t e = 0; e < g.group_sizes.size(); ++e) {
    int64_t base = static_cast<int64_t>(e) * g.n * g.k;
    for (int64_t end = row + g.group_sizes[e]; row < end; ++row) {
      for (int64_t j = 0; j < width; ++j) {
        double sum = 0;
        for (int64_t i = 0; i < depth; ++i) {
          int64_t at = g.transposed ? i * g.k + j : j * g.k + i;
          sum += load(g.dtype, g.x, row * depth + i) * load(g.dtype, g.weights, base + at);
        }
        store(g.dtype, g.y, row * width + j, sum);
      }
    }
  }
  for (; row < g.m; ++row) {
    for (int64_t j = 0; j < width; ++j) store(g.dtype, g.y, row * width + j, 0);
  }
}

void grouped_outer(const GroupedOuter& g) {
  int64_t start = 0;
  for (size_t e = 0; e < g.group_sizes.size(); ++e) {
    int64_t end = start + g.group_sizes[e];
    for (int64_t i = 0; i < g.n; ++i) {
      for (int64_t j = 0; j < g.k; ++j) {
        double sum = 0;
        for (int64_t r = start; r < end; ++r) sum += load(g.dtype, g.a, r * g.n + i) * load(g.dtype, g.b, r * g.k + j);
        store(g.dtype, g.w, (static_cast<int64_t>(e) * g.n + i) * g.k + j, sum);
      }
    }
    start = end;
  }
}

}  // namespace fathom::ref
