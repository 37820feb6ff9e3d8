// The model: tokens to logits.
#pragma once

#include <array>
#include <optional>
#include <set>
#include <string>

#include "model/ffn.h"
#include "model/mla.h"

namespace fathom {

// All [b s] s32. Position ids restart with each packed segment; segment 0 is padding.
struct ModelInputs {
  Value tokens, positions, segments;
};

// What a layer gives beside its output. Null where the layer has none or it was not asked for. For a whole stack each
// has the layer axis "l" in front.
struct LayerAux {
  Value balance_loss;  // f32 scalar
  Value load;          // [e] s32: tokens of the batch that chose each expert
  // With ModelOptions::capture.
  Value self_attn;  // [b s d], after the output projection
  Value mlp;        // [b s d], of either kind
  Value out;        // [b s d], the layer's output
  Value scores;     // [b s e] f32, without bias
  Value experts;    // [b s k] s32
  Value weights;    // [b s k] f32

  // Every member, for whoever visits them all.
  static constexpr std::array<Value LayerAux::*, 8> members();
};

constexpr std::array<Value LayerAux::*, 8> LayerAux::members() {
  return {&LayerAux::balance_loss, &LayerAux::load,   &LayerAux::self_attn, &LayerAux::mlp,
          &LayerAux::out,          &LayerAux::scores, &LayerAux::experts,   &LayerAux::weights};
}

struct LayerOut {
  Value x;  // [b s d]
  LayerAux aux;
};

struct ModelOptions {
  // Tags whose values a layer keeps for the backward pass, the rest being computed again; nothing: no
  // rematerialisation.
  std::optional<std::set<std::string>> remat_saved;
  // Whether LayerAux carries the intermediates.
  bool capture = false;
  // Whether logits are made; otherwise the caller takes `normed` and logits_head() (tiled losses, prefill of one
  // place).
  bool logits = true;
};

struct ModelOut {
  Value embedding;     // [b s d]
  Value hidden;        // [b s d], after the last layer, before the final norm
  Value normed;        // [b s d], after it
  Value logits;        // [b s v], null unless asked for
  Value balance_loss;  // f32 scalar, mean over the MoE layers; null when it is off
  LayerAux dense, moe;
};

// One layer. Dense when the weights have a plain MLP. x [b s d].
LayerOut decoder_layer(const LayerContext& context, const LayerWeights& weights, Value x, bool capture);

// Embedding, dense layers, MoE layers, final norm, logits.
ModelOut decoder(const ModelConfig& config, const Weights& weights, const ModelInputs& inputs,
                 const ModelOptions& options = {});

// x [.. d] (after the final norm) -> [.. v]; float32 when the configuration says so.
Value logits_head(const ModelConfig& config, Value logits_weight, Value x);

}  // namespace fathom
