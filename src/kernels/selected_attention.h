// Attention of each query over its own list of keys (abi.h: kSelectedAttention, kSelectedAttentionGrad). Time and
// memory grow with the lists, not with the number of keys.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// b rows of s queries and t keys, h heads, queries and keys of width w, values of width u, lists of n places.
struct SelectedShape {
  int64_t b = 0, s = 0, t = 0, h = 0, w = 0, u = 0, n = 0;
};

// The scale is in q. Scores, softmax and sums are float32. Both directions throw std::invalid_argument for a list that
// check_lists (selection.h) refuses, before anything is written.
struct SelectedAttention {
  DType dtype = DType::kF32;  // of q, k, v and out: kF32 or kBF16
  SelectedShape shape;
  const void* q = nullptr;        // [b, s, h, w]
  const void* k = nullptr;        // [b, t, h, w]
  const void* v = nullptr;        // [b, t, h, u]
  const int32_t* keys = nullptr;  // [b, s, n], at least one each, ascending, then -1
  void* out = nullptr;            // [b, s, h, u]
  float* lse = nullptr;           // [b, h, s], log of the sum of the exponentials of a query's scores
};

// With p = exp(q k^T - lse) of the chosen pairs:  dv = p^T do,  ds = p (do v^T - delta),  dq = ds k,  dk = ds^T q.
struct SelectedAttentionGrad {
  DType dtype = DType::kF32;  // of q, k, v, d_out, d_q, d_k and d_v
  SelectedShape shape;
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  const int32_t* keys = nullptr;
  const float* lse = nullptr;    // as the forward pass gave it
  const void* d_out = nullptr;   // [b, s, h, u]
  const float* delta = nullptr;  // [b, h, s], sum over u of d_out * out
  void* d_q = nullptr;           // [b, s, h, w]
  void* d_k = nullptr;           // [b, t, h, w]
  void* d_v = nullptr;           // [b, t, h, u]
};

namespace ref {
void selected_attention(const SelectedAttention& args);
void selected_attention_grad(const SelectedAttentionGrad& args);
}  // namespace ref

namespace cpu {
void selected_attention(const SelectedAttention& args, Parallel& parallel);
void selected_attention_grad(const SelectedAttentionGrad& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
