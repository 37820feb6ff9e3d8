// The loss of the indexer over the keys that it chose (abi.h: kSelectedIndexerLoss, kSelectedIndexerLossGrad): how far
// the softmax of its scores is from the attention that its keys get.
#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "kernels/parallel.h"
#include "kernels/selected_attention.h"

namespace fathom {

// Of the chosen keys of each query: p = the mean over h of exp(q k^T - lse), divided by its sum + 1e-8;
// r = softmax(I), I as indexer.h has it; kl = sum of p (ln(p + 1e-8) - ln(r + 1e-8)). Throws std::invalid_argument for
// a list that check_lists (selection.h) refuses, before anything is written.
struct SelectedLoss {
  DType dtype = DType::kF32;       // of q, k, iq and ik: kF32 or kBF16
  SelectedShape shape;             // u is not used
  int64_t g = 0, i = 0;            // the indexer's heads, and their width
  const void* q = nullptr;         // [b, s, h, w]
  const void* k = nullptr;         // [b, t, h, w]
  const float* lse = nullptr;      // [b, h, s], of the scores of the chosen keys
  const int32_t* keys = nullptr;   // [b, s, n], at least one each, ascending, then -1
  const void* iq = nullptr;        // [b, s, g, i]
  const void* ik = nullptr;        // [b, t, i]
  const float* weights = nullptr;  // [b, s, g]
};

// Its derivative by way of I alone; p is a constant.
struct SelectedLossGrad {
  SelectedLoss loss;
  const float* d_kl = nullptr;  // [b, s]
  void* d_iq = nullptr;         // [b, s, g, i]
  void* d_ik = nullptr;         // [b, t, i]
  float* d_weights = nullptr;   // [b, s, g]
};

// One query's loss. `target` is the sum over heads of their attention, `scores` are I; behind them `target` is p and
// `scores` are r.
float query_loss(int64_t heads, std::span<float> target, std::span<float> scores);

// The derivative of d_kl * kl by I from p and r, in the place of r.
void query_loss_grad(float d_kl, std::span<const float> p, std::span<float> r);

namespace ref {
void selected_loss(const SelectedLoss& args, float* kl);  // kl [b, s]
void selected_loss_grad(const SelectedLossGrad& args);
}  // namespace ref

namespace cpu {
void selected_loss(const SelectedLoss& args, float* kl, Parallel& parallel);
void selected_loss_grad(const SelectedLossGrad& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
