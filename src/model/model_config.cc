#include "model/model_config.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "config/config.h"

namespace fathom {
namespace {

void need_positive(std::string_view key, int64_t value) {
  if (value <= 0) throw ConfigError(fmt::format("{} is {}, and must be at least 1", key, value));
}

void check_sizes(const Config& c) {
  need_positive("base_emb_dim", c.emb_dim);
  need_positive("base_num_query_heads", c.num_query_heads);
  need_positive("base_num_decoder_layers", c.num_decoder_layers);
  need_positive("vocab_size", c.vocab_size);
  need_positive("kv_lora_rank", c.kv_lora_rank);
  need_positive("qk_nope_head_dim", c.qk_nope_head_dim);
  need_positive("v_head_dim", c.v_head_dim);
  if (c.qk_rope_head_dim <= 0 || c.qk_rope_head_dim % 2 != 0) {
    throw ConfigError(
        fmt::format("qk_rope_head_dim is {}; rotation needs pairs, an even number of at least 2", c.qk_rope_head_dim));
  }
  if (c.q_lora_rank < 0)
    throw ConfigError(fmt::format("q_lora_rank is {}; 0 means no query compression", c.q_lora_rank));
  if (c.first_num_dense_layers < 0 || c.first_num_dense_layers > c.num_decoder_layers) {
    throw ConfigError(fmt::format("first_num_dense_layers is {}, of base_num_decoder_layers={}",
                                  c.first_num_dense_layers, c.num_decoder_layers));
  }
  if (c.first_num_dense_layers > 0) need_positive("base_mlp_dim", c.mlp_dim);
}

void check_experts(const Config& c) {
  if (c.first_num_dense_layers == c.num_decoder_layers) return;
  need_positive("num_experts", c.num_experts);
  need_positive("base_moe_mlp_dim", c.moe_mlp_dim);
  need_positive("num_experts_per_tok", c.num_experts_per_tok);
  if (c.num_experts_per_tok > c.num_experts) {
    throw ConfigError(
        fmt::format("num_experts_per_tok={} is more than num_experts={}", c.num_experts_per_tok, c.num_experts));
  }
  if (c.n_routing_groups == 0) return;
  if (c.num_experts % c.n_routing_groups != 0) {
    throw ConfigError(
        fmt::format("n_routing_groups={} does not divide num_experts={}", c.n_routing_groups, c.num_experts));
  }
  const int64_t group = c.num_experts / c.n_routing_groups;
  if (c.topk_routing_group < 1 || c.topk_routing_group > c.n_routing_groups) {
    throw ConfigError(
        fmt::format("topk_routing_group={} of n_routing_groups={}", c.topk_routing_group, c.n_routing_groups));
  }
  if (c.topk_routing_group * group < c.num_experts_per_tok) {
    throw ConfigError(fmt::format("the {} kept groups hold {} experts, fewer than num_experts_per_tok={}",
                                  c.topk_routing_group, c.topk_routing_group * group, c.num_experts_per_tok));
  }
  if (c.routing_group_score == GroupScore::kTop2Sum && group < 2) {
    throw ConfigError(fmt::format("n_routing_groups={} leaves one expert a group; a group is ranked by its two best",
                                  c.n_routing_groups));
  }
}

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
  check_sizes(c);
  check_experts(c);
  return {.d = c.emb_dim,
          .heads = c.num_query_heads,
          .layers = c.num_decoder_layers,
          .dense_layers = c.first_num_dense_layers,
          .vocab = c.vocab_size,
          .mlp_dim = c.mlp_dim,
          .moe_mlp_dim = c.moe_mlp_dim,
          .norm_epsilon = c.normalization_layer_epsilon,
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
          .load_balance_weight = c.load_balance_loss_weight,
          .indexer = c.use_indexer,
          .indexer_heads = c.indexer_n_heads,
          .indexer_dim = c.indexer_head_dim,
          .indexer_top_k = c.indexer_topk,
          .dtype = c.dtype,
          .weight_dtype = c.weight_dtype,
          .activations_in_float32 = c.activations_in_float32,
          .logits_dot_in_float32 = c.logits_dot_in_fp32,
          .logits_in_float32 = c.cast_logits_to_fp32};
}

}  // namespace fathom
