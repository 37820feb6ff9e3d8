// What the model needs of the configuration: dimensions and choices, resolved. Model code reads this and nothing else.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "nn/rope_options.h"

namespace fathom {

struct Config;

struct ModelConfig {
  // Sizes. The letters are those of the axes in model code.
  int64_t d = 0;             // emb_dim
  int64_t heads = 0;         // h
  int64_t layers = 0;        // dense ones included
  int64_t dense_layers = 0;  // the first ones, with a plain MLP
  // Modules for multi-token prediction behind the last layer.
  int64_t prediction_layers = 0;
  int64_t vocab = 0;        // v
  int64_t mlp_dim = 0;      // f, dense layers
  int64_t moe_mlp_dim = 0;  // f, one expert and one shared expert
  double norm_epsilon = 1e-6;
  // Of the norms inside attention (q_a_layernorm, kv_a_layernorm).
  double latent_norm_epsilon = 1e-6;
  bool scan_layers = true;

  // Multi-head latent attention. A head's query and key have `nope` plain and `rope` rotated dimensions, its value `u`.
  int64_t q_rank = 0;   // r; 0: queries straight from the input (V2-Lite)
  int64_t kv_rank = 0;  // c
  int64_t nope = 0, rope_dim = 0, value_dim = 0;
  RopeOptions rope;
  double softmax_scale = 0;  // on the product of query and key
  bool flash = false;        // attention=flash; otherwise plain up to kPlainAttentionLength when `autoselected`
  bool autoselected = true;

  // Mixture of experts.
  int64_t experts = 0;          // e
  int64_t top_k = 0;            // k
  int64_t shared_experts = 0;   // one MLP of shared_experts * moe_mlp_dim
  bool sigmoid_scores = false;  // V3; softmax otherwise
  bool router_bias = false;     // added to the scores for the choice only
  bool renormalise = false;     // chosen weights divided by their sum
  double routed_scaling_factor = 1;
  int64_t groups = 0, kept_groups = 0;  // group-limited routing; 0: none
  bool group_by_maximum = false;        // a group's rank is its best score (V2), not the sum of its two best (V3)
  bool grouped = true;                  // tokens sorted by expert; false: every expert on every token
  // Above 0 and not grouped: an expert keeps so many times the mean number of a row's choices, and drops the others.
  double capacity_factor = 0;
  // Above 0, grouped, and experts split over devices: a device takes so many times the mean number of choices, and
  // drops the others.
  double exchange_factor = 0;
  bool few_tokens = false;  // decoding: where tokens are few, only the matrices of experts that they chose are read
  double load_balance_weight = 0;
  bool sequence_balance = false;  // the balance loss of the V3 report, not the peer's
  bool counts_padding = false;    // as the peer does, where it counts the tokens of each expert

  // Sparse-attention indexer (V3.2).
  bool indexer = false;
  int64_t indexer_heads = 0, indexer_dim = 0, indexer_top_k = 0;  // hi, di, n
  double indexer_loss_weight = 0;
  // The dense warm-up: the indexer's loss is over all keys, and there is no other.
  bool indexer_warmup = false;
  bool indexer_attends_to_all = false;  // attention then, over all keys or the chosen ones

  // Multi-token prediction. A module reads the hidden state before its norm or after it; before the head stands the
  // module's own norm or the model's.
  bool prediction_after_norm = true;
  bool prediction_own_norm = true;
  double prediction_loss_weight = 0;
  int64_t accepted_module = 0;  // counts from 1; whose guesses evaluations compare with the main head's; 0: none

  // Numbers.
  DType dtype = DType::kBF16;
  DType weight_dtype = DType::kF32;
  bool fp8 = false;  // linear layers multiply numbers of 8 bits (fused/fp8.h)
  bool activations_in_float32 = false;
  bool logits_dot_in_float32 = false;
  bool logits_in_float32 = true;
  int64_t loss_blocks = 0;  // of tokens, in which a device makes logits for the loss; 0: as few as keep a block small

  int64_t moe_layers() const { return layers - dense_layers; }
  // With those of the modules for prediction.
  int64_t all_layers() const { return layers + prediction_layers; }
  int64_t all_moe_layers() const { return moe_layers() + prediction_layers; }
  DType logits_dtype() const { return logits_in_float32 || logits_dot_in_float32 ? DType::kF32 : dtype; }
  bool drops_tokens() const { return grouped ? exchange_factor > 0 : capacity_factor > 0; }
  int64_t head_dim() const { return nope + rope_dim; }
  int64_t shared_dim() const { return shared_experts * moe_mlp_dim; }
};

// The sizes of a resolved configuration fit each other (config/resolve/validate.h).
ModelConfig model_config(const Config& config);

}  // namespace fathom
