// The kernels that a plugin can be given through FFI: names, operands, layouts and attributes. Staged code prints calls
// by this page, the FFI handlers read them by it; neither side includes the other.
//
// All arrays are dense and row-major. `T` is f32 or bf16, the same for all operands written T; sums are float32
// whatever T is. Attributes are i64. Results do not depend on the number of threads.
#pragma once

#include <string_view>

namespace fathom::abi {

// Part of the key of the compile cache: raise it when the meaning of any call below changes.
inline constexpr int kVersion = 2;

// Product of rows that are sorted by group with their group's matrix; the groups lie one after another.
//   operands: x T[m, n or k], stack T[l, e, n, k], group_sizes s32[e] (their sum is m), layer s32 (which of the l)
//   result:   y T[m, k or n]
//   transposed = 0: y = x W^T (x [m, k], y [m, n]); 1: y = x W (x [m, n], y [m, k]).
// A weight that is no slice of a layer stack comes as a stack of one with layer 0.
inline constexpr std::string_view kGroupedMatmul = "fathom_grouped_matmul";
inline constexpr std::string_view kTransposed = "transposed";

// For each group the product of its rows: w[e] = a_e^T b_e; a group without rows gives zeros.
//   operands: a T[m, n], b T[m, k], group_sizes s32[e]
//   result:   w T[e, n, k]
inline constexpr std::string_view kGroupedOuter = "fathom_grouped_outer";

// Causal attention over rows of packed segments: query i sees the keys j <= i of its own segment. The scale is in q.
//   operands: q T[b, s, h, w], k T[b, s, h, w], v T[b, s, h, u], segments s32[b, s]
//   results:  out T[b, s, h, u], lse f32[b, h, s] (log of the sum of the exponentials of a row's scores)
inline constexpr std::string_view kFlashAttention = "fathom_flash_attention";

// Its derivative; the scores are computed again from lse.
//   operands: q, k, v, segments, lse as above, d_out T[b, s, h, u],
//             delta f32[b, h, s] = sum over u of d_out * out
//   results:  d_q T[b, s, h, w], d_k T[b, s, h, w], d_v T[b, s, h, u]
inline constexpr std::string_view kFlashAttentionGrad = "fathom_flash_attention_grad";

// An array whose elements are whatever its memory held: what a loop fills before anything reads it starts as this,
// since XLA:CPU would write zeros to all of it first.
//   operands: none
//   result:   any array
//   id: tells one call from another, so that no two are merged (each would then get a copy).
inline constexpr std::string_view kUnwritten = "fathom_unwritten";
inline constexpr std::string_view kId = "id";

}  // namespace fathom::abi
