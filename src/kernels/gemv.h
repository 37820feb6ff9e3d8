// Products of few rows, each with the matrix that it names (abi.h: kGemv): what a decoding step does with its weights.
#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "kernels/abi.h"
#include "kernels/parallel.h"

namespace fathom {

// y[r] = x[r] W_e^T (transposed false: x [rows, k], y [rows, n]) or x[r] W_e (true: x [rows, n], y [rows, k]) with
// e = which[r] and W_e rows first .. first + n - 1 of matrix e.
struct Gemv {
  DType dtype = DType::kF32;         // of x: kF32 or kBF16
  DType weight_dtype = DType::kF32;  // kF32, kBF16, or kS8 with scales; float32 weights meet bfloat16 rows as bfloat16
  DType y_dtype = DType::kF32;       // kF32 or kBF16; sums are float32
  const void* x = nullptr;
  const void* weights = nullptr;  // [matrices, height, k] of one layer
  const float* scales = nullptr;  // [matrices, height, scale_groups(k)]
  void* y = nullptr;
  std::span<const int32_t> which;  // [rows]
  int64_t matrices = 0, height = 0, first = 0, n = 0, k = 0;
  bool transposed = false;

  int64_t rows() const { return static_cast<int64_t>(which.size()); }
  int64_t depth() const { return transposed ? n : k; }
  int64_t width() const { return transposed ? k : n; }
};

inline int64_t scale_groups(int64_t k) { return (k + abi::kScaleGroup - 1) / abi::kScaleGroup; }

// Throws std::invalid_argument unless every row names one of the matrices; both kernels begin with it.
void check_which(const Gemv& args);

namespace ref {
void gemv(const Gemv& args);
}  // namespace ref

namespace cpu {
void gemv(const Gemv& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
