// The feed-forward half of a layer: a gated MLP, or routed experts with a shared one.
#pragma once

#include "model/values_by_name.h"
#include "model/weights.h"

namespace fathom {

// (silu(x Wg) * (x Wu)) Wd; x [b s d] -> [b s d].
Value gated_mlp(const ModelConfig& config, const MlpWeights& weights, Value x);

// The choice of experts.
struct Routing {
  Value scores;   // [b s e] f32: softmax or sigmoid of the router's products, without bias
  Value choice;   // [b s e] f32: scores with bias, by which experts are chosen
  Value experts;  // [b s k] s32
  Value weights;  // [b s k] f32, scaling factor included
};
// x [b s d]. All in float32, whatever the type of activations: as the released models compute it.
Routing route(const ModelConfig& config, const MoeWeights& weights, Value x);

struct MoeOut {
  Value y;             // [b s d]
  Value balance_loss;  // f32 scalar, weight included; null when load_balance_loss_weight is 0
  Value load;          // [e] s32: tokens that chose each expert, padding left out, those that it drops included
  Value dropped;       // s32 scalar: choices of such tokens that were dropped; null where none can be
  Routing routing;

  // What a layer gives of it beside its output; the routing only with `capture`.
  ValuesByName beside(bool capture) const;
};
// Routed experts and the shared expert. x [b s d]; segments [b s] s32, 0 for padding: routed as all, and not counted.
// Without segments all tokens count.
MoeOut moe(const ModelConfig& config, const MoeWeights& weights, Value x, Value segments = {});

}  // namespace fathom
