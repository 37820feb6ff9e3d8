// Multi-head latent attention (V2 report, section 2.1): keys and values of all heads come from one narrow latent.
#pragma once

#include <optional>

#include "fused/indexer_selection.h"
#include "model/values_by_name.h"
#include "model/weights.h"
#include "nn/rope.h"

namespace fathom {

// What all layers share.
struct LayerContext {
  const ModelConfig& config;
  RopeTables rope;
  Value segments;  // [b s] s32
};

// The queries of all heads, and what they are made from.
struct Queries {
  Value q;       // [b s h w], scaled
  Value latent;  // [b s r], normalised; null without query compression
};
Queries mla_queries(const LayerContext& context, const MlaWeights& weights, Value x);

// What a token leaves for the queries of later ones.
struct Latent {
  Value kv;       // [b s c], normalised
  Value rotated;  // [b s w]: the rotated part of the key, one for all heads
};
Latent mla_latent(const LayerContext& context, const MlaWeights& weights, Value x);

// Keys [b t h w] and values [b t h u] of all heads.
struct KeysValues {
  Value k, v;
};
KeysValues mla_keys_values(const LayerContext& context, const MlaWeights& weights, const Latent& latent);

struct MlaOut {
  Value y;  // [b s d]
  // Where the indexer chooses keys: indexer_loss [b s] f32, if the model has a weight for it; with `capture`
  // indexer.scores [b s t] f32 (0 for keys that a query does not see) and indexer.mask [b s t].
  ValuesByName beside;
};
// What attention among the tokens of a row is made of.
struct Attended {
  Queries queries;
  Latent latent;
  std::optional<IndexerInputs> index;  // where the indexer chooses
};
MlaOut mla_among(const LayerContext& context, const MlaWeights& weights, const Attended& tokens, bool capture);
// x [b s d], already normalised.
MlaOut mla(const LayerContext& context, const MlaWeights& weights, Value x, bool capture = false);

}  // namespace fathom
