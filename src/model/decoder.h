// The model: tokens to logits.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>

#include "model/ffn.h"
#include "model/mla.h"
#include "model/values_by_name.h"

namespace fathom {

// All [b s] s32. Position ids restart with each packed segment; segment 0 is padding.
struct ModelInputs {
  Value tokens, positions, segments;
};

struct LayerOut {
  Value x;  // [b s d]
  // Beside it, by name; for a whole stack each has the layer axis "l" in front. Always, where the layer has the part:
  //   moe_lb_loss     f32 scalar (and whatever other rows of metrics/step_scalars.h layers give)
  //   indexer_loss    [b s] f32, where there is one
  //   load            [e] s32: tokens of the batch that chose each expert, padding left out
  //   dropped         s32 scalar: choices of those that experts dropped, where they can
  // with ModelOptions::capture:
  //   self_attn       [b s d], after the output projection
  //   mlp             [b s d], of either kind
  //   out             [b s d], the layer's output
  //   indexer.scores, indexer.mask   [b s t] f32, bool, where the indexer chooses
  //   router.scores   [b s e] f32, without bias
  //   router.experts  [b s k] s32
  //   router.weights  [b s k] f32
  ValuesByName beside;
};

struct ModelOptions {
  // Tags whose values a layer keeps for the backward pass, the rest being computed again; nothing: no
  // rematerialisation.
  std::optional<std::set<std::string>> remat_saved;
  // Whether layers give their intermediates.
  bool capture = false;
  // What else a layer gives beside its output; called in the layer's body.
  std::function<ValuesByName(const LayerWeights&, const LayerOut&)> in_layer;
  // Whether logits are made; otherwise the caller takes `normed` and logits_head() (tiled losses, prefill of one
  // place).
  bool logits = true;
  // Whether the modules for multi-token prediction run.
  bool predictions = false;
};

struct StackOut {
  Stack stack;
  ValuesByName beside;  // of its layers
};

struct ModelOut {
  Value embedding;  // [b s d]
  Value hidden;     // [b s d], after the last layer, before the final norm
  Value normed;     // [b s d], after it
  Value logits;     // [b s v], null unless asked for
  // [b s d] of each module for multi-token prediction that ran: what its head makes logits of.
  std::vector<Value> predictions;
  // The scalars of a step that layers give, each as one for all of them: an f32 scalar, or a number of each token
  // [b s].
  ValuesByName losses;
  std::vector<StackOut> stacks;  // in the order in which a token passes them
};

// The attention half of a layer: x [b s d], already normalised.
using Attention = std::function<MlaOut(const MlaWeights& weights, Value x)>;

// One layer. Dense when the weights have a plain MLP. x [b s d].
LayerOut decoder_layer(const LayerContext& context, const LayerWeights& weights, Value x, const Attention& attention,
                       bool capture);

// Embedding, dense layers, MoE layers, final norm, logits; then the modules for multi-token prediction.
ModelOut decoder(const ModelConfig& config, const Weights& weights, const ModelInputs& inputs,
                 const ModelOptions& options = {});

// x [.. d] (after the final norm) -> [.. v]; float32 when the configuration says so.
Value logits_head(const ModelConfig& config, Value logits_weight, Value x);

}  // namespace fathom
