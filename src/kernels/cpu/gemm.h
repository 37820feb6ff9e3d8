// One dense product on one core, from strided operands: the block that the grouped and attention kernels are made of.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace fathom::cpu {

// A matrix in memory: element (i, j) at data[i * row + j * column], strides in elements, float32 or bfloat16.
struct Strided {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t row = 0;
  int64_t column = 1;
};

struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  Strided a;           // [m, k]
  Strided b;           // [k, n]
  float* c = nullptr;  // [m, n], row stride c_row
  int64_t c_row = 0;
  bool accumulate = false;  // c += a b instead of c = a b
};

// Sums over k are float32, in an order that depends on the shapes alone. Scratch memory is the thread's own and kept.
void gemm(const Gemm& g);

// Rounds float32 rows to bfloat16 (to nearest even).
void store_bf16(const float* from, int64_t from_row, uint16_t* to, int64_t to_row, int64_t rows, int64_t columns);

}  // namespace fathom::cpu
