// Attention of few queries over the latents of a cache (abi.h: kLatentAttention).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// out = softmax over the visible keys t of (q . kv[t] + q_rotated . rotated[t]), times kv. All heads share the keys; of
// a query that sees no key out is zeros.
struct LatentAttention {
  DType dtype = DType::kF32;        // of all arrays but `visible`: kF32 or kBF16; sums are float32
  const void* q = nullptr;          // [b, s, h, c], scaled
  const void* q_rotated = nullptr;  // [b, s, h, w], scaled
  const void* kv = nullptr;         // [b, t, c]
  const void* rotated = nullptr;    // [b, t, w]
  const bool* visible = nullptr;    // [b, s, t]
  void* out = nullptr;              // [b, s, h, c]
  int64_t b = 0, s = 0, h = 0, t = 0, c = 0, w = 0;
};

namespace ref {
void latent_attention(const LatentAttention& args);
}  // namespace ref

namespace cpu {
void latent_attention(const LatentAttention& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
