// Dense products from strided operands: on one core the block that the grouped kernels are made of, on all cores the
// products of the model's projections.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom::cpu {

// A matrix in memory: element (i, j) at data[i * row + j * column], strides in elements, float32 or bfloat16.
struct Strided {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t row = 0;
  int64_t column = 1;
};

// c = a b. Sums over k are float32, in an order that depends on the shapes and the instruction set alone.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  Strided a;          // [m, k]
  Strided b;          // [k, n]
  void* c = nullptr;  // [m, n] in row-major order, rows c_row elements apart
  DType c_dtype = DType::kF32;
  int64_t c_row = 0;
};

// On the calling thread. Scratch memory is the thread's own and kept.
void gemm(const Gemm& g);

// On all cores: each operand is packed once for all of them.
void gemm(const Gemm& g, Parallel& parallel);

}  // namespace fathom::cpu
