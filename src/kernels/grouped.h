// Grouped matrix products: rows sorted by group, one matrix a group (abi.h: kGroupedMatmul, kGroupedOuter).
#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// y[r, :] = x[r, :] W_e^T for the rows r of group e (transposed false: x [m, k], y [m, n]), or x[r, :] W_e (transposed
// true: x [m, n], y [m, k]). The groups' rows lie one after another; their sizes sum to at most m, and the rows of y
// behind the last group get zeros.
struct GroupedMatmul {
  DType dtype = DType::kF32;  // kF32 or kBF16; sums are float32
  const void* x = nullptr;
  const void* weights = nullptr;  // [e, n, k] of one layer
  void* y = nullptr;
  std::span<const int32_t> group_sizes;
  int64_t m = 0, n = 0, k = 0;
  bool transposed = false;
};

// The sizes come from the device. Throws std::invalid_argument unless none is negative and they sum to at most m,
// before anything is written; both kernels and their oracles begin with it.
void check_group_sizes(std::span<const int32_t> group_sizes, int64_t m);

// w[e] = a_e^T b_e over the rows of group e: a [m, n], b [m, k], w [e, n, k]; a group without rows gives zeros. The
// sizes sum to at most m.
struct GroupedOuter {
  DType dtype = DType::kF32;
  const void* a = nullptr;
  const void* b = nullptr;
  void* w = nullptr;
  std::span<const int32_t> group_sizes;
  int64_t m = 0, n = 0, k = 0;
};

namespace ref {
void grouped_matmul(const GroupedMatmul& args);
void grouped_outer(const GroupedOuter& args);
}  // namespace ref

namespace cpu {
void grouped_matmul(const GroupedMatmul& args, Parallel& parallel);
void grouped_outer(const GroupedOuter& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
