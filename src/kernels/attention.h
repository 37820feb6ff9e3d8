// Causal attention over packed segments without the matrix of scores (abi.h: kFlashAttention, kFlashAttentionGrad).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// b rows of s tokens, h heads, queries and keys of width w, values of width u.
struct AttentionShape {
  int64_t b = 0, s = 0, h = 0, w = 0, u = 0;
};

// Query i sees the keys j <= i of its own segment, itself always included; segment 0 (padding) is a segment like
// others. The scale is in q. Scores, softmax and sums are float32.
struct Attention {
  DType dtype = DType::kF32;  // of q, k, v and out: kF32 or kBF16
  AttentionShape shape;
  const void* q = nullptr;            // [b, s, h, w]
  const void* k = nullptr;            // [b, s, h, w]
  const void* v = nullptr;            // [b, s, h, u]
  const int32_t* segments = nullptr;  // [b, s]
  void* out = nullptr;                // [b, s, h, u]
  float* lse = nullptr;               // [b, h, s], log of the sum of the exponentials of a query's scores
};

// With p = exp(q k^T - lse):  dv = p^T do,  ds = p (do v^T - delta),  dq = ds k,  dk = ds^T q.
struct AttentionGrad {
  DType dtype = DType::kF32;  // of q, k, v, d_out, d_q, d_k and d_v
  AttentionShape shape;
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  const int32_t* segments = nullptr;
  const float* lse = nullptr;    // as the forward pass gave it
  const void* d_out = nullptr;   // [b, s, h, u]
  const float* delta = nullptr;  // [b, h, s], sum over u of d_out * out
  void* d_q = nullptr;           // [b, s, h, w]
  void* d_k = nullptr;           // [b, s, h, w]
  void* d_v = nullptr;           // [b, s, h, u]
};

namespace ref {
void attention(const Attention& args);
void attention_grad(const AttentionGrad& args);
}  // namespace ref

namespace cpu {
void attention(const Attention& args, Parallel& parallel);
void attention_grad(const AttentionGrad& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
