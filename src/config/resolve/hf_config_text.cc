#include "config/resolve/hf_config_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

struct Release {
  const char* model_type;
  const char* architecture;
};

Release release_of(const Config& c) {
  if (c.use_indexer) return {"deepseek_v32", "DeepseekV32ForCausalLM"};
  if (c.routed_bias) return {"deepseek_v3", "DeepseekV3ForCausalLM"};
  return {"deepseek_v2", "DeepseekV2ForCausalLM"};
}

void add_router(const Config& c, Json& out) {
  const bool grouped = c.n_routing_groups > 0;
  out["first_k_dense_replace"] = c.first_num_dense_layers;
  out["moe_intermediate_size"] = c.moe_mlp_dim;
  out["moe_layer_freq"] = 1;
  out["n_routed_experts"] = c.num_experts;
  out["n_shared_experts"] = c.shared_experts;
  out["num_experts_per_tok"] = c.num_experts_per_tok;
  out["n_group"] = grouped ? c.n_routing_groups : 1;
  out["topk_group"] = grouped ? c.topk_routing_group : 1;
  out["topk_method"] = c.routed_bias ? "noaux_tc" : grouped ? "group_limited_greedy" : "greedy";
  out["scoring_func"] = c.routed_score_func == ScoreFunc::kSigmoid ? "sigmoid" : "softmax";
  out["norm_topk_prob"] = c.norm_topk_prob;
  out["routed_scaling_factor"] = c.routed_scaling_factor;
}

void add_attention(const Config& c, Json& out) {
  out["attention_bias"] = false;
  out["num_attention_heads"] = c.num_query_heads;
  out["num_key_value_heads"] = c.num_query_heads;
  out["q_lora_rank"] = c.q_lora_rank > 0 ? Json(c.q_lora_rank) : Json(nullptr);
  out["kv_lora_rank"] = c.kv_lora_rank;
  out["qk_nope_head_dim"] = c.qk_nope_head_dim;
  out["qk_rope_head_dim"] = c.qk_rope_head_dim;
  out["v_head_dim"] = c.v_head_dim;
  out["max_position_embeddings"] = c.max_position_embeddings;
  out["rope_theta"] = c.rope_max_timescale;
  out["rope_scaling"] = nullptr;
  if (c.rope_type == RopeType::kYarn) {
    out["rope_scaling"] = {{"type", "yarn"},
                           {"factor", c.rope_factor},
                           {"original_max_position_embeddings", c.original_max_position_embeddings},
                           {"beta_fast", c.beta_fast},
                           {"beta_slow", c.beta_slow},
                           {"mscale", c.mscale},
                           {"mscale_all_dim", c.mscale_all_dim}};
  }
  if (!c.use_indexer) return;
  out["index_n_heads"] = c.indexer_n_heads;
  out["index_head_dim"] = c.indexer_head_dim;
  out["index_topk"] = c.indexer_topk;
}

void add_token_numbers(const Config& c, Json& out) {
  constexpr int64_t kV2 = 102400, kV3 = 129280;
  if (c.vocab_size != kV2 && c.vocab_size != kV3) return;
  const int first = c.vocab_size == kV2 ? 100000 : 0;
  out["bos_token_id"] = first;
  out["eos_token_id"] = first + 1;
}

}  // namespace

std::string hf_config_text(const Config& c, DType dtype) {
  const Release release = release_of(c);
  Json out = {{"architectures", {release.architecture}}, {"model_type", release.model_type}};
  add_token_numbers(c, out);
  out["vocab_size"] = c.vocab_size;
  out["hidden_size"] = c.emb_dim;
  out["hidden_act"] = "silu";
  out["intermediate_size"] = c.mlp_dim;
  out["num_hidden_layers"] = c.num_decoder_layers;
  out["num_nextn_predict_layers"] = c.mtp_num_layers;
  out["rms_norm_eps"] = c.normalization_layer_epsilon;
  add_attention(c, out);
  add_router(c, out);
  out["tie_word_embeddings"] = false;
  out["use_cache"] = true;
  out["torch_dtype"] = name(dtype);
  return out.dump(2) + "\n";
}

}  // namespace fathom
