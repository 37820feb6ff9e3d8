// The activation of the feed-forward layers and its derivative (abi.h: kGatedSilu, kGatedSiluGrad).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// y = gate s up with s = 1 / (1 + exp(-gate)), element by element. Arithmetic is float32, results are rounded to the
// arrays' type. A result may lie where an operand does.
struct GatedSilu {
  DType dtype = DType::kF32;  // kF32 or kBF16, of all arrays
  int64_t count = 0;          // elements
  const void* gate = nullptr;
  const void* up = nullptr;
  void* y = nullptr;
};

// d_up = d gate s,  d_gate = d up s (1 + gate (1 - s)).
struct GatedSiluDerivative {
  DType dtype = DType::kF32;
  int64_t count = 0;
  const void* gate = nullptr;
  const void* up = nullptr;
  const void* d = nullptr;
  void* d_gate = nullptr;
  void* d_up = nullptr;
};

namespace ref {
void gated_silu(const GatedSilu& args);
void gated_silu_grad(const GatedSiluDerivative& args);
}  // namespace ref

namespace cpu {
void gated_silu(const GatedSilu& args, Parallel& parallel);
void gated_silu_grad(const GatedSiluDerivative& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
