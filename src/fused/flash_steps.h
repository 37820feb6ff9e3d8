// The steps of attention in blocks (Dao, FlashAttention-2): a block of queries meets the key blocks that it sees, and
// in the derivative a block of keys meets the query blocks that see it. One device goes over its own keys with them
// (fused/flash_attention.cc), a ring of devices over those that come round (fused/flash_ring.h).
#pragma once

#include <span>
#include <vector>

#include "fused/flash_blocks.h"
#include "graph/region_ops.h"

namespace fathom {

// Keys and values in blocks, [block b h t w] and [block b h t u], with the segments of their places [block b t].
struct KeyBlocks {
  Value keys, values, segments;
  Value distance = {};  // s32: places from the first of these keys to the first query; null: none
};

// Of the operands of both ops.
inline KeyBlocks key_blocks(const Blocks& n, std::span<const Value> operands) {
  return {.keys = n.cut(operands[1], "t", "b h t w"),
          .values = n.cut(operands[2], "t", "b h t u"),
          .segments = n.cut(segments_of_keys(operands[3]), "t", "b t", kPaddedKey)};
}

// The online softmax of a block of queries, all f32.
struct SoftmaxState {
  Value top;  // [b h s]: maximum so far
  Value sum;  // [b h s]: of exp(score - top)
  Value out;  // [b h s u]: of exp(score - top) times value
};

// Block `i` of the queries [b h s w] and their segments [b s].
struct QueryBlock {
  Value i, queries, segments;
};

// The queries meet the key blocks 0 to `last`.
inline SoftmaxState meet_keys(const Blocks& n, const QueryBlock& q, const KeyBlocks& k, Value last,
                              const SoftmaxState& before) {
  std::vector<Value> state{n.s32(0), before.top, before.sum, before.out};
  state = while_loop(
      n.g, state, [&](std::span<const Value> s) { return less_equal(s[0], last); },
      [&](std::span<const Value> s) {
        Value j = s[0];
        Value part = scores(q.queries, n.at(k.keys, j), n.visible(q.i, j, q.segments, n.at(k.segments, j), k.distance));
        Value top = maximum(s[1], reduce_max(part, "t"));
        Value p = exp(part - top);
        Value shrink = exp(s[1] - top);
        Value sum = s[2] * shrink + reduce_sum(p, "t");
        Value out = s[3] * shrink + dot(convert(p, n.dtype), n.at(k.values, j), "t", {.out = DType::kF32});
        return std::vector<Value>{j + 1, top, sum, out};
      });
  return {state[1], state[2], state[3]};
}

// What the derivative needs of the queries, in blocks: queries [block b h s w], d_out [block b h s u], lse and delta
// [block b h s] f32, segments [block b s].
struct QueryBlocks {
  Value queries, d_out, lse, delta, segments;
};

// Of the operands of the derivative (fused/flash_attention.cc).
inline QueryBlocks query_blocks(const Blocks& n, std::span<const Value> operands) {
  return {.queries = n.cut(operands[0], "s", "b h s w"),
          .d_out = n.cut(operands[5], "s", "b h s u"),
          .lse = n.cut(operands[4], "s", "b h s"),
          .delta = n.cut(operands[6], "s", "b h s"),
          .segments = n.cut(operands[3], "s", "b s", kPaddedQuery)};
}

// d_q of all blocks [block b h s w], and d_k [b h t w] and d_v [b h t u] of one block of keys, all f32.
struct FlashGradients {
  Value q, k, v;
};

// Keys of block `j` meet the query blocks from `first` on. With p = exp(score - lse):
//   dv = p^T do,  dp = do v^T,  ds = p (dp - delta),  dq = ds k,  dk = ds^T q
inline FlashGradients meet_queries(const Blocks& n, Value j, const QueryBlocks& q, const KeyBlocks& block, Value first,
                                   const FlashGradients& before) {
  std::vector<Value> state{first, before.q, before.k, before.v};
  state = while_loop(
      n.g, state, [&](std::span<const Value> s) { return less(s[0], n.s32(static_cast<double>(n.count))); },
      [&](std::span<const Value> s) {
        Value i = s[0], q_i = n.at(q.queries, i), d_out = n.at(q.d_out, i);
        Value part = scores(q_i, block.keys, n.visible(i, j, n.at(q.segments, i), block.segments, block.distance));
        Value p = exp(part - n.at(q.lse, i));
        Value d_v = s[3] + dot(convert(p, n.dtype), d_out, "s", {.out = DType::kF32});
        Value d_p = dot(d_out, block.values, "u", {.out = DType::kF32});
        Value d_s = convert(p * (d_p - n.at(q.delta, i)), n.dtype);
        Value d_k = s[2] + dot(d_s, q_i, "s", {.out = DType::kF32});
        Value d_q = n.at(s[1], i) + dot(d_s, block.keys, "t", {.out = DType::kF32});
        return std::vector<Value>{i + 1, dynamic_update_slice(s[1], expand(d_q, "block"), "block", i), d_k, d_v};
      });
  return {state[1], state[2], state[3]};
}

}  // namespace fathom
