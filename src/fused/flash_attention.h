// Attention without the matrix of scores: blocks of queries meet blocks of keys with an online softmax (Dao,
// FlashAttention-2), forward and backward.
#pragma once

#include <string>

#include "graph/ops.h"

namespace fathom {

struct FlashOptions {
  // Queries and keys of a block of the composed form: large enough that a block's product runs at full rate, small
  // enough that its float32 scores (64 kB a head) stay in a core's cache.
  int64_t block = 128;
  // Name under which the output and the rows' log-sums are tagged: the backward pass needs these and the operands, so a
  // remat policy that keeps the name spares a second forward pass.
  std::string tag = "context";
};

// q [b s h w] (already scaled), k [b t h w], v [b t h u], segments [b s] s32, with as many keys as queries -> [b s h u]
// in q's type. Query i sees the keys j <= i of its own segment, itself always included.
Value flash_attention(Value q, Value k, Value v, Value segments, const FlashOptions& options = {},
                      Where where = Where::current());

}  // namespace fathom
