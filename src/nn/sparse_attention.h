// Attention of each query over the keys that the indexer chooses for it, and the indexer's loss (V3.2 report, section
// 2.1): in the plain form, whose derivative is that of its operations, and in blocks of queries.
#pragma once

#include "fused/indexer_selection.h"
#include "nn/attention.h"

namespace fathom {

struct SparseOptions {
  int64_t top_k = 0;
  bool blockwise = true;        // no value of size length x length
  bool attends_to_all = false;  // attention over all keys, whatever the indexer chooses (dense warm-up, the paper's)
  bool loss = false;            // whether the indexer's loss is wanted
  bool loss_over_all = false;   // over all keys (dense warm-up), or the chosen ones
};

struct SparseOut {
  Value context;  // attention's output, [b h s u] or [b s h u]
  Value loss;     // [b s] f32 (fused/indexer_loss.h); null unless wanted
};

// More keys than top_k. The blockwise output is tagged "context", with what else the backward pass needs.
SparseOut sparse_attention(const AttentionInputs& in, const IndexerInputs& index, const SparseOptions& options,
                           Where where = Where::current());

// [b s t] f32: the indexer's scores, as the plain form has them.
Value indexer_scores(const IndexerInputs& index, Where where = Where::current());
// [b s t]: the `count` keys that each query's scores choose among those of `visible` [b s t], all where there are no
// more.
Value choice_of(Value scores, Value visible, int64_t count, Where where = Where::current());

}  // namespace fathom
