// How far the indexer's scores are from the attention that they stand for (V3.2 report, section 2.1.1, eq. 3 and 4).
#pragma once

#include <optional>

#include "fused/indexer_selection.h"

namespace fathom {

// The keys over which both distributions are taken.
struct ChosenKeys {
  Selection selection;
  Value lse;  // [b h s] f32: of the attention over them
};

// [b s] f32: for each query sum over t of p (ln(p + 1e-8) - ln(r + 1e-8)), with p the mean over the heads of
// softmax(q . k), divided by its sum + 1e-8, and r = softmax(I), both over the chosen keys or, without a choice, over
// all that the query sees. q [b s h w] (already scaled), k [b t h w], segments [b t] s32. Gradients flow through I to
// the indexer alone (V3.2 report: the target is detached).
Value indexer_loss(Value q, Value k, Value segments, const IndexerInputs& index,
                   const std::optional<ChosenKeys>& chosen, const SelectionOptions& options,
                   Where where = Where::current());

// The epsilon of the formula above; MaxText's.
inline constexpr double kIndexerLossEpsilon = 1e-8;

}  // namespace fathom
