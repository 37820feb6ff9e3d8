// The scalar oracle of the grouped products: float64 sums, no blocking.
#include "kernels/grouped.h"

#include "kernels/ref/element.h"

namespace fathom::ref {
void grouped_matmul(const GroupedMatmul& g) {
  check_group_sizes(g.group_sizes, g.m);
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
  check_group_sizes(g.group_sizes, g.m);
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
