// Attention of each query over the keys that the indexer has chosen for it (V3.2 report, eq. 2).
#pragma once

#include <string>

#include "fused/indexer_selection.h"

namespace fathom {

struct AttentionOut {
  Value out;  // [b s h u]
  Value lse;  // [b h s] f32: log of the sum of the exponentials of a query's scores
};

struct SelectedAttentionInputs {
  Value q, k, v;   // [b s h w] (already scaled), [b t h w], [b t h u]
  Value segments;  // [b t] s32
};

// Gradients flow to q, k and v alone. Both results are tagged with `tag` (FlashOptions::tag).
AttentionOut selected_attention(const SelectedAttentionInputs& in, const IndexerInputs& index,
                                const Selection& selection, const SelectionOptions& options, const std::string& tag,
                                Where where = Where::current());

}  // namespace fathom
