// The indexer's choice of keys (V3.2 report, section 2.1, eq. 1 and 2).
#pragma once

#include "graph/ops.h"

namespace fathom {

// What the indexer makes of a layer's tokens.
struct IndexerInputs {
  Value q;        // [b s hi di]
  Value k;        // [b t di], one key for all heads
  Value weights;  // [b s hi] f32, of the heads; every scale included
};

// A key is chosen where the query sees it and its score is above the cut-off, or at it and not after the key `tie`.
struct Selection {
  Value cutoff;  // [b s] f32
  Value tie;     // [b s] s32
  // [b s n] s32: the chosen keys in rising order, then -1. Only kernels ask for it; the others compare scores.
  Value keys;
};

struct SelectionOptions {
  int64_t top_k = 0;
  // Queries of a block of the composed forms, here and in the ops that take the selection.
  int64_t block = 0;
};

// Queries of a block: as many as keep a block's float32 scores of all heads below 256 MB a row, 32 at least.
int64_t queries_of_block(int64_t heads, int64_t keys);

// Of the keys that a query sees (those not after it, of its own segment) the top_k with the largest scores
//   I[s, t] = sum over hi of weights[s, hi] * max(q[s, hi] . k[t], 0),
// of equal scores the earliest; all of them, where there are no more than top_k. segments [b t] s32. No gradient passes
// through the choice.
Selection indexer_selection(const IndexerInputs& index, Value segments, const SelectionOptions& options,
                            Where where = Where::current());

}  // namespace fathom
