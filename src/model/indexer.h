// The indexer of sparse attention (V3.2 report, section 2.1): small queries and keys whose products say which keys a
// query attends to.
#pragma once

#include "fused/indexer_selection.h"
#include "model/mla.h"

namespace fathom {

// `latent` [b s r]: the normalised query latent; x [b s d]: the layer's normalised input. Both are detached: the
// indexer learns from its own loss alone, and moves nothing else.
IndexerInputs indexer_inputs(const LayerContext& context, const MlaWeights::Indexer& weights, Value latent, Value x);

// Of the layer norm of its keys, whatever the other norms have.
inline constexpr double kIndexerNormEpsilon = 1e-6;

// Whether attention over rows of this many tokens asks the indexer: with no more keys than it keeps it chooses them
// all.
bool indexer_chooses(const ModelConfig& config, int64_t length);

}  // namespace fathom
