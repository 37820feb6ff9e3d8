// One element of an array of float32 or bfloat16, for the scalar oracles.
#pragma once

#include <cstdint>

#include "base/bf16.h"
#include "base/dtype.h"

namespace fathom::ref {

inline double load(DType dtype, const void* data, int64_t i) {
  if (dtype == DType::kBF16) return static_cast<double>(bf16_to_float(static_cast<const uint16_t*>(data)[i]));
  return static_cast<double>(static_cast<const float*>(data)[i]);
}

// Rounded to the array's type by way of float32.
inline void store(DType dtype, void* data, int64_t i, double value) {
  if (dtype == DType::kBF16) {
    static_cast<uint16_t*>(data)[i] = float_to_bf16(static_cast<float>(value));
  } else {
    static_cast<float*>(data)[i] = static_cast<float>(value);
  }
}

}  // namespace fathom::ref
