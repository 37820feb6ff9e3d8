#include "drive/same_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

constexpr std::string_view kKeys[] = {
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
    "opt_type",
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
    "trainable_parameters_mask",
    "use_indexer",
    "v_head_dim",
    "vocab_size",
};

// The lines "key: value" of a configuration as to_yaml() writes it.
std::map<std::string, std::string> values_of(const std::string& yaml) {
  std::map<std::string, std::string> out;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) out[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return out;
}

}  // namespace

std::vector<std::string> keys_of_another_run(const std::string& saved_config, const Config& config,
                                             const std::string& path) {
  const std::map<std::string, std::string> there = values_of(saved_config), here = values_of(to_yaml(config));
  if (!there.contains("opt_type")) throw FormatError(path, "not the configuration of a run");
  std::vector<std::string> out, others;
  for (const auto& [key, value] : here) {
    const auto before = there.find(key);
    if (before == there.end() || before->second == value) continue;
    const bool decides = std::ranges::find(kKeys, key) != std::end(kKeys);
    (decides ? out : others).push_back(fmt::format("{} is {} here and {} there", key, value, before->second));
  }
  if (out.empty() && !others.empty()) {
    log_once(LogLevel::kInfo, fmt::format("{}: other values than in the checkpoint: {}", path, listed(others, 6)));
  }
  return out;
}

}  // namespace fathom
