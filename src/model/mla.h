// Multi-head latent attention (V2 report, section 2.1): keys and values of all heads come from one narrow latent.
#pragma once

#include "model/weights.h"
#include "nn/rope.h"

namespace fathom {

// What all layers share.
struct LayerContext {
  const ModelConfig& config;
  RopeTables rope;
  Value segments;  // [b s] s32
};

// x [b s d], already normalised -> [b s d].
Value mla(const LayerContext& context, const MlaWeights& weights, Value x);

}  // namespace fathom
