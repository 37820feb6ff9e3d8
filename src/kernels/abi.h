// The kernels that a plugin can be given through FFI: names, operands, layouts and attributes. Staged code prints calls
// by this page, the FFI handlers read them by it; neither side includes the other.
//
// All arrays are dense and row-major. `T` is f32 or bf16, the same for all operands written T; sums are float32
// whatever T is. Attributes are i64, or f64 where the call says so. Results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <string_view>

namespace fathom::abi {

// Part of the key of the compile cache: raise it when the meaning of any call below changes.
inline constexpr int kVersion = 5;

// Product of rows that are sorted by group with their group's matrix; the groups lie one after another. The group sizes
// sum to at most m, and the rows of y behind the last group are zeros; sizes that sum to more, or a negative one, are
// an error of the call.
//   operands: x T[m, n or k], stack T[l, e, n, k], group_sizes s32[e], layer s32 (which of the l)
//   result:   y T[m, k or n]
//   transposed = 0: y = x W^T (x [m, k], y [m, n]); 1: y = x W (x [m, n], y [m, k]).
// A weight that is no slice of a layer stack comes as a stack of one with layer 0.
inline constexpr std::string_view kGroupedMatmul = "fathom_grouped_matmul";
inline constexpr std::string_view kTransposed = "transposed";

// For each group the product of its rows: w[e] = a_e^T b_e; a group without rows gives zeros. Group sizes as above. The
// products become one layer of a stack, the other layers stay: a scan over layers needs no copy of them.
//   operands: a T[m, n], b T[m, k], group_sizes s32[e], layer s32 (which of the l), stack T[l, e, n, k]
//   result:   the stack, in its memory
inline constexpr std::string_view kGroupedOuter = "fathom_grouped_outer";

// Products of few rows, each with the matrix that it names. A matrix is read once for all of its rows, from where it
// lies. Only the rows first .. first + count - 1 of each matrix take part; n is count.
//   operands:   x T[r, k or n], stack W[l, e, m, k], which s32[r] (each in [0, e)), layer s32 (which of the l)
//   result:     y U[r, n or k], U f32 or bf16
//   attributes: transposed as above; first; count
// W is f32 or bf16; where T is bf16 and W f32, the weights are rounded to bf16 first.
inline constexpr std::string_view kGemv = "fathom_gemv";
inline constexpr std::string_view kFirst = "first";
inline constexpr std::string_view kCount = "count";

// The same with weights of 8 bits, each group of kScaleGroup along k (the last may be smaller) with a scale.
//   operands:   x T[r, k or n], stack s8[l, e, m, k], scales f32[l, e, m, groups], which s32[r], layer s32
inline constexpr std::string_view kGemvInt8 = "fathom_gemv_int8";
inline constexpr int64_t kScaleGroup = 128;

// Attention of few queries over the latents of a cache: softmax over the visible keys t of
// q . kv[t] + q_rotated . rotated[t], times kv. The scale is in q; of a query that sees no key the result is zeros.
//   operands: q T[b, s, h, c], q_rotated T[b, s, h, w], stacks kv T[l, b, t, c] and rotated T[l, b, t, w],
//             visible i1[b, s, t], layer s32
//   result:   out T[b, s, h, c]
inline constexpr std::string_view kLatentAttention = "fathom_latent_attention";

// Some neighbouring rows of one layer of a stack, from a place of its own for each b; what lies beyond t is an error of
// the call.
//   operands: rows T[b, s, c], place s32[b], layer s32, stack T[l, b, t, c]
//   result:   the stack, in its memory
inline constexpr std::string_view kPutRows = "fathom_put_rows";

// The score of a key that a query does not see, wherever attention is computed; MaxText's number. Finite: a row whose
// first keys are all masked must not make NaN. What it has summed up by then is multiplied by
// exp(kMasked - real maximum) = 0.
inline constexpr double kMasked = -0.7 * 3.4028234663852886e38;

// Causal attention over rows of packed segments: query i sees the keys j <= i of its own segment. The scale is in q.
//   operands: q T[b, s, h, w], k T[b, s, h, w], v T[b, s, h, u], segments s32[b, s]
//   results:  out T[b, s, h, u], lse f32[b, h, s] (log of the sum of the exponentials of a row's scores)
inline constexpr std::string_view kFlashAttention = "fathom_flash_attention";

// Its derivative; the scores are computed again from lse.
//   operands: q, k, v, segments, lse as above, d_out T[b, s, h, u],
//             delta f32[b, h, s] = sum over u of d_out * out
//   results:  d_q T[b, s, h, w], d_k T[b, s, h, w], d_v T[b, s, h, u]
inline constexpr std::string_view kFlashAttentionGrad = "fathom_flash_attention_grad";

// The choice of the sparse-attention indexer (DeepSeek-V3.2 report, section 2.1): for each query the top_k keys with
// the largest scores
//   I[j, t] = sum over g of weights[j, g] * max(q[j, g] . k[t], 0)
// among the keys that it sees: those t <= first + j of the same segment as key first + j (query j stands at place
// first + j of the row of t keys). Of equal scores the earliest key wins; a score that is not a number counts as
// -infinity. A query that sees at most top_k keys keeps all. first < 0 or first + s > t is an error of the call.
//   operands:  q T[b, s, g, i], k T[b, t, i], weights f32[b, s, g], segments s32[b, t], first s32
//   results:   cutoff f32[b, s], tie s32[b, s]: key t is chosen if it is seen and
//              (I > cutoff or (I == cutoff and t <= tie)); -infinity and t - 1 where all keys that are seen are kept
//              keys s32[b, s, n]: the chosen keys, ascending, then -1; n = min(top_k, t)
//   attribute: top_k
inline constexpr std::string_view kIndexerSelection = "fathom_indexer_selection";
inline constexpr std::string_view kTopK = "top_k";

// The same list from cutoff and tie. The scores are computed again, with the same bits.
//   operands: q, k, weights, segments, first, cutoff, tie as above
//   result:   keys s32[b, s, n]; what is chosen beyond n keys is left out
inline constexpr std::string_view kIndexerKeys = "fathom_indexer_keys";

// Attention of each query over its own list of keys. The scale is in q. The keys of a list ascend, and -1 fills its
// end; every query has at least one key. A list of another form is an error of the call.
//   operands: q T[b, s, h, w], k T[b, t, h, w], v T[b, t, h, u], keys s32[b, s, n]
//   results:  out T[b, s, h, u], lse f32[b, h, s]
inline constexpr std::string_view kSelectedAttention = "fathom_selected_attention";

// Its derivative; the scores are computed again from lse.
//   operands: q, k, v, keys, lse as above, d_out T[b, s, h, u], delta f32[b, h, s] = sum over u of d_out * out
//   results:  d_q T[b, s, h, w], d_k T[b, t, h, w], d_v T[b, t, h, u]
inline constexpr std::string_view kSelectedAttentionGrad = "fathom_selected_attention_grad";

// The loss of the indexer over the keys that it chose. For each query, over them:
//   p = the mean over h of exp(q_h . k_h - lse_h), divided by its sum + 1e-8;  r = softmax(I), I as above
//   kl = sum of p (ln(p + 1e-8) - ln(r + 1e-8))
//   operands: q T[b, s, h, w], k T[b, t, h, w], lse f32[b, h, s], keys s32[b, s, n] (as above),
//             iq T[b, s, g, i], ik T[b, t, i], weights f32[b, s, g]
//   result:   kl f32[b, s]
inline constexpr std::string_view kSelectedIndexerLoss = "fathom_selected_indexer_loss";

// Its derivative by way of I alone; p is a constant. That of max(x, 0) at 0 is 0.
//   operands: as above, d_kl f32[b, s]
//   results:  d_iq T[b, s, g, i], d_ik T[b, t, i], d_weights f32[b, s, g]
inline constexpr std::string_view kSelectedIndexerLossGrad = "fathom_selected_indexer_loss_grad";

// The activation of the feed-forward layers, of arrays of any shape: gate s up with s = 1 / (1 + exp(-gate)).
//   operands: gate T, up T
//   result:   y T
inline constexpr std::string_view kGatedSilu = "fathom_gated_silu";

// Its derivative: d_gate = d up s (1 + gate (1 - s)), d_up = d gate s.
//   operands: gate T, up T, d T
//   results:  d_gate T, d_up T
inline constexpr std::string_view kGatedSiluGrad = "fathom_gated_silu_grad";

// What the cross entropy of each row of logits is made of. A target outside [0, v) chooses nothing.
//   operands: logits T[..., v], targets s32[...]
//   results:  log_z f32[...] (log of the sum of the exponentials of a row), chosen f32[...] (the target's logit, or 0)
inline constexpr std::string_view kCrossEntropy = "fathom_cross_entropy";

// Its derivative: softmax(logits) d_log_z + onehot(targets) d_chosen.
//   operands: logits, targets, log_z as above, d_log_z f32[...], d_chosen f32[...]
//   result:   d_logits T[..., v], in the memory of the logits
inline constexpr std::string_view kCrossEntropyGrad = "fathom_cross_entropy_grad";

// One step of AdamW for one array, of any shape; G, W and M are each f32 or bf16.
//   operands: gradient G, parameter W, mu M, nu W; f32 scalars: rate, mu_scale = 1 / (1 - b1^t),
//             nu_scale = 1 / (1 - b2^t), clip (the factor on the gradient)
//   results:  parameter, mu, nu in the memory of the operands; squares f32 (sum of squares of the new parameter)
//   attributes, f64: b1, b2, eps (outside the root), eps_root (inside), weight_decay
inline constexpr std::string_view kAdamW = "fathom_adamw";
inline constexpr std::string_view kB1 = "b1";
inline constexpr std::string_view kB2 = "b2";
inline constexpr std::string_view kEps = "eps";
inline constexpr std::string_view kEpsRoot = "eps_root";
inline constexpr std::string_view kWeightDecay = "weight_decay";

// The sum of the squares of an array of any shape.
//   operand:  x T
//   result:   squares f32 scalar
inline constexpr std::string_view kSumOfSquares = "fathom_sum_of_squares";

// Memory for an array whose every element will be written before it is read.
//   result:    x of any type and shape, whatever its memory holds
//   attribute: slot, another one for each call, so that the compiler does not take calls of one type for the same value
inline constexpr std::string_view kUninitialized = "fathom_uninitialized";
inline constexpr std::string_view kSlot = "slot";

}  // namespace fathom::abi
