// The optimizer's passes over the parameters (abi.h: kAdamW, kSumOfSquares).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// With g = gradient * clip (rounded to the gradient's type), all arithmetic in float32:
//   mu = b1 mu + (1 - b1) g,  nu = b2 nu + (1 - b2) g^2
//   parameter -= rate (mu_scale mu / (sqrt(nu_scale nu + eps_root) + eps) + weight_decay parameter)
// in place. What is stored is rounded to the array's type.
struct AdamWStep {
  int64_t count = 0;                                                                          // elements
  DType gradient_dtype = DType::kF32, parameter_dtype = DType::kF32, mu_dtype = DType::kF32;  // kF32 or kBF16 each
  const void* gradient = nullptr;
  void* parameter = nullptr;
  void* mu = nullptr;
  void* nu = nullptr;  // of the parameter's type
  float rate = 0, mu_scale = 1, nu_scale = 1, clip = 1;
  double b1 = 0, b2 = 0, eps = 0, eps_root = 0, weight_decay = 0;
};

// Each returns the sum of squares: of the new parameter as it is stored, or of x. Blocks of a fixed number of elements
// are summed each on one thread, and the blocks' sums in order.
namespace ref {
float adamw(const AdamWStep& args);
float sum_of_squares(DType dtype, const void* x, int64_t count);
}  // namespace ref

namespace cpu {
float adamw(const AdamWStep& args, Parallel& parallel);
float sum_of_squares(DType dtype, const void* x, int64_t count, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
