#include "model/model_config.h"

#include <cmath>
#include <stdexcept>

#include "config/config.h"

namespace fathom {
namespace {

// Hugging Face's q_a_layernorm and kv_a_layernorm keep the default of their class, whatever rms_norm_eps says.
constexpr double kReferenceLatentEpsilon = 1e-6;

RopeOptions rope_options(const Config& c) {
  RopeOptions rope{
      .dim = c.qk_rope_head_dim, .theta = c.rope_max_timescale, .yarn = {}, .magnitude = c.rope_output_scale};
  if (c.rope_type == RopeType::kYarn) {
    rope.yarn = Yarn{.factor = c.rope_factor,
                     .original_length = static_cast<double>(c.original_max_position_embeddings),
                     .beta_fast = c.beta_fast,
                     .beta_slow = c.beta_slow,
                     .truncate = c.rope_truncate};
  }
  return rope;
}

}  // namespace

ModelConfig model_config(const Config& c) {
  if (c.emb_dim <= 0 || c.num_decoder_layers <= 0) throw std::logic_error("model_config: of no resolved configuration");
  return {.d = c.emb_dim,
          .heads = c.num_query_heads,
          .layers = c.num_decoder_layers,
          .dense_layers = c.first_num_dense_layers,
          .prediction_layers = c.mtp_num_layers,
          .vocab = c.vocab_size,
          .mlp_dim = c.mlp_dim,
          .moe_mlp_dim = c.moe_mlp_dim,
          .norm_epsilon = c.normalization_layer_epsilon,
          .latent_norm_epsilon =
              c.defaults == DefaultsKind::kMaxtext ? c.normalization_layer_epsilon : kReferenceLatentEpsilon,
          .scan_layers = c.scan_layers,
          .q_rank = c.q_lora_rank,
          .kv_rank = c.kv_lora_rank,
          .nope = c.qk_nope_head_dim,
          .rope_dim = c.qk_rope_head_dim,
          .value_dim = c.v_head_dim,
          .rope = rope_options(c),
          .softmax_scale =
              std::pow(static_cast<double>(c.qk_nope_head_dim + c.qk_rope_head_dim), -0.5) * c.softmax_scale_factor,
          .flash = c.attention == AttentionKind::kFlash,
          .autoselected = c.attention == AttentionKind::kAutoselected,
          .experts = c.num_experts,
          .top_k = c.num_experts_per_tok,
          .shared_experts = c.shared_experts,
          .sigmoid_scores = c.routed_score_func == ScoreFunc::kSigmoid,
          .router_bias = c.routed_bias,
          .renormalise = c.norm_topk_prob,
          .routed_scaling_factor = c.routed_scaling_factor,
          .groups = c.n_routing_groups,
          .kept_groups = c.topk_routing_group,
          .group_by_maximum = c.routing_group_score == GroupScore::kMaximum,
          .grouped = c.sparse_matmul,
          .capacity_factor = c.capacity_factor,
          .exchange_factor = c.ragged_buffer_factor,
          .load_balance_weight = c.load_balance_loss_weight,
          .sequence_balance = c.moe_use_megatron_seq_aux_loss && c.routed_score_func == ScoreFunc::kSigmoid,
          .counts_padding = c.defaults == DefaultsKind::kMaxtext,
          .indexer = c.use_indexer,
          .indexer_heads = c.indexer_n_heads,
          .indexer_dim = c.indexer_head_dim,
          .indexer_top_k = c.indexer_topk,
          .indexer_loss_weight = c.use_indexer ? c.indexer_loss_scaling_factor : 0,
          .indexer_warmup = c.indexer_dense_warmup,
          .indexer_attends_to_all = c.indexer_dense_warmup && c.indexer_warmup_attention == WarmupAttention::kDense,
          .prediction_after_norm =
              c.mtp_variant == PredictionVariant::kCheckpoint || c.mtp_variant == PredictionVariant::kPostMain,
          .prediction_own_norm =
              c.mtp_variant == PredictionVariant::kCheckpoint || c.mtp_variant == PredictionVariant::kPreOwn,
          .prediction_loss_weight = c.mtp_num_layers > 0 ? c.mtp_loss_scaling_factor : 0,
          .accepted_module = c.mtp_eval_target_module,
          .dtype = c.dtype,
          .weight_dtype = c.weight_dtype,
          .fp8 = c.quantization == Quantization::kFp8,
          .activations_in_float32 = c.activations_in_float32,
          .logits_dot_in_float32 = c.logits_dot_in_fp32,
          .logits_in_float32 = c.cast_logits_to_fp32,
          .loss_blocks = c.num_vocab_tiling > 1 ? c.num_vocab_tiling : 0};
}

}  // namespace fathom
