#include "config/resolve/model_key_names.h"

#include <sstream>

namespace fathom {

std::span<const std::string_view> model_key_names() {
  static constexpr std::string_view kKeys[] = {
      "base_emb_dim",
      "base_mlp_dim",
      "base_moe_mlp_dim",
      "base_num_decoder_layers",
      "base_num_kv_heads",
      "base_num_query_heads",
      "beta_fast",
      "beta_slow",
      "first_num_dense_layers",
      "global_parameter_scale",
      "indexer_head_dim",
      "indexer_n_heads",
      "kv_lora_rank",
      "mscale",
      "mscale_all_dim",
      "mtp_num_layers",
      "n_routing_groups",
      "norm_topk_prob",
      "normalization_layer_epsilon",
      "num_experts",
      "num_experts_per_tok",
      "original_max_position_embeddings",
      "q_lora_rank",
      "qk_nope_head_dim",
      "qk_rope_head_dim",
      "rope_factor",
      "rope_max_timescale",
      "rope_type",
      "routed_bias",
      "routed_scaling_factor",
      "routed_score_func",
      "routing_group_score",
      "shared_experts",
      "topk_routing_group",
      "use_indexer",
      "v_head_dim",
      "vocab_size",
  };
  return kKeys;
}

std::map<std::string, std::string> yaml_values(const std::string& yaml) {
  std::map<std::string, std::string> out;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) out[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return out;
}

}  // namespace fathom
