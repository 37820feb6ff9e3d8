// Cross entropy over the vocabulary (abi.h: kCrossEntropy, kCrossEntropyGrad).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// log_z[r] = log(sum over i of exp(logits[r, i])), chosen[r] = logits[r, targets[r]]; a target outside [0, vocab)
// gives 0.
struct CrossEntropy {
  DType dtype = DType::kF32;  // of the logits: kF32 or kBF16; sums are float32
  int64_t rows = 0, vocab = 0;
  const void* logits = nullptr;  // [rows, vocab]
  const int32_t* targets = nullptr;
  float* log_z = nullptr;
  float* chosen = nullptr;
};

// d_logits[r, i] = exp(logits[r, i] - log_z[r]) d_log_z[r] + (i == targets[r] ? d_chosen[r] : 0)
struct CrossEntropyGrad {
  DType dtype = DType::kF32;  // of logits and d_logits
  int64_t rows = 0, vocab = 0;
  const void* logits = nullptr;
  const int32_t* targets = nullptr;
  const float* log_z = nullptr;
  const float* d_log_z = nullptr;
  const float* d_chosen = nullptr;
  void* d_logits = nullptr;  // may be the logits themselves
};

namespace ref {
void cross_entropy(const CrossEntropy& args);
void cross_entropy_grad(const CrossEntropyGrad& args);
}  // namespace ref

namespace cpu {
void cross_entropy(const CrossEntropy& args, Parallel& parallel);
void cross_entropy_grad(const CrossEntropyGrad& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
