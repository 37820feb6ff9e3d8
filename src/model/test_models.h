// The released models' dimensions, for tests.
#pragma once

#include "model/model_config.h"

namespace fathom {

inline RopeOptions released_rope() {
  return {.dim = 64, .theta = 10000, .yarn = Yarn{.factor = 40, .original_length = 4096}, .magnitude = 1};
}

inline ModelConfig deepseek2_16b() {
  return {.d = 2048,
          .heads = 16,
          .layers = 27,
          .dense_layers = 1,
          .vocab = 102400,
          .mlp_dim = 10944,
          .moe_mlp_dim = 1408,
          .q_rank = 0,
          .kv_rank = 512,
          .nope = 128,
          .rope_dim = 64,
          .value_dim = 128,
          .rope = released_rope(),
          .softmax_scale = 0.1147214,
          .experts = 64,
          .top_k = 6,
          .shared_experts = 2};
}

inline ModelConfig deepseek3_671b() {
  return {.d = 7168,
          .heads = 128,
          .layers = 61,
          .dense_layers = 3,
          .vocab = 129280,
          .mlp_dim = 18432,
          .moe_mlp_dim = 2048,
          .q_rank = 1536,
          .kv_rank = 512,
          .nope = 128,
          .rope_dim = 64,
          .value_dim = 128,
          .rope = released_rope(),
          .softmax_scale = 0.1352338,
          .experts = 256,
          .top_k = 8,
          .shared_experts = 1,
          .sigmoid_scores = true,
          .router_bias = true,
          .renormalise = true,
          .routed_scaling_factor = 2.5,
          .groups = 8,
          .kept_groups = 4};
}

inline ModelConfig deepseek2_236b() {
  ModelConfig m = deepseek3_671b();
  m.d = 5120;
  m.layers = 60;
  m.dense_layers = 1;
  m.vocab = 102400;
  m.mlp_dim = 12288;
  m.moe_mlp_dim = 1536;
  m.experts = 160;
  m.top_k = 6;
  m.shared_experts = 2;
  m.sigmoid_scores = m.router_bias = m.renormalise = false;
  m.routed_scaling_factor = 16;
  m.groups = 8;
  m.kept_groups = 3;
  m.group_by_maximum = true;
  return m;
}

inline ModelConfig deepseek32_671b() {
  ModelConfig m = deepseek3_671b();
  m.indexer = true;
  m.indexer_heads = 64;
  m.indexer_dim = 128;
  m.indexer_top_k = 2048;
  return m;
}

// A V3 in miniature: 1 dense and 3 MoE layers.
inline ModelConfig tiny_v3() {
  ModelConfig m = deepseek3_671b();
  m.d = 32;
  m.heads = 2;
  m.layers = 4;
  m.dense_layers = 1;
  m.vocab = 96;
  m.mlp_dim = 48;
  m.moe_mlp_dim = 16;
  m.q_rank = 24;
  m.kv_rank = 16;
  m.nope = 16;
  m.rope_dim = 8;
  m.value_dim = 12;
  m.rope.dim = 8;
  m.experts = 8;
  m.top_k = 3;
  m.groups = 4;
  m.kept_groups = 2;
  m.dtype = DType::kF32;
  return m;
}

}  // namespace fathom
