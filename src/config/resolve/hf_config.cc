#include "config/resolve/hf_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json_text.h"

namespace fathom {

namespace {

using nlohmann::json;

// Fields that are one key under another name.
struct Renamed {
  const char* field;
  const char* key;
  bool required;
};
constexpr Renamed kRenamed[] = {
    {"hidden_size", "base_emb_dim", true},
    {"intermediate_size", "base_mlp_dim", true},
    {"moe_intermediate_size", "base_moe_mlp_dim", true},
    {"num_hidden_layers", "base_num_decoder_layers", true},
    {"num_attention_heads", "base_num_query_heads", true},
    {"num_key_value_heads", "base_num_kv_heads", true},
    {"vocab_size", "vocab_size", true},
    {"first_k_dense_replace", "first_num_dense_layers", true},
    {"n_routed_experts", "num_experts", true},
    {"num_experts_per_tok", "num_experts_per_tok", true},
    {"n_shared_experts", "shared_experts", true},
    {"routed_scaling_factor", "routed_scaling_factor", true},
    {"kv_lora_rank", "kv_lora_rank", true},
    {"qk_nope_head_dim", "qk_nope_head_dim", true},
    {"qk_rope_head_dim", "qk_rope_head_dim", true},
    {"v_head_dim", "v_head_dim", true},
    {"max_position_embeddings", "max_position_embeddings", true},
    {"rms_norm_eps", "normalization_layer_epsilon", true},
    {"rope_theta", "rope_max_timescale", false},
    {"rope_interleave", "rope_interleave", false},
};
constexpr Renamed kRopeRenamed[] = {
    {"factor", "rope_factor", true},
    {"original_max_position_embeddings", "original_max_position_embeddings", true},
    {"beta_fast", "beta_fast", false},
    {"beta_slow", "beta_slow", false},
    {"truncate", "rope_truncate", false},
    {"rope_theta", "rope_max_timescale", false},
};
constexpr Renamed kIndexRenamed[] = {
    {"index_n_heads", "indexer_n_heads", true},
    {"index_head_dim", "indexer_head_dim", true},
    {"index_topk", "indexer_topk", true},
};

// Fields that no forward pass depends on: training only, token numbers, bookkeeping of the library that wrote the file.
// head_dim is another name of qk_rope_head_dim there; quantization_config is the loader's business.
const std::set<std::string>& passed_over() {
  static const std::set<std::string> fields = {
      "_name_or_path",
      "architectures",
      "attention_dropout",
      "auto_map",
      "aux_loss_alpha",
      "bos_token_id",
      "chunk_size_feed_forward",
      "dtype",
      "eos_token_id",
      "ep_size",
      "head_dim",
      "id2label",
      "initializer_range",
      "label2id",
      "model_type",
      "num_nextn_predict_layers",
      "output_attentions",
      "output_hidden_states",
      "output_router_logits",
      "pad_token_id",
      "pretraining_tp",
      "problem_type",
      "quantization_config",
      "return_dict",
      "router_aux_loss_coef",
      "seq_aux",
      "torch_dtype",
      "transformers_version",
      "use_cache",
  };
  return fields;
}

class Reader {
 public:
  Reader(const json& root, std::string origin, Problems& problems)
      : root_(root), origin_(std::move(origin)), problems_(problems) {}

  Layer read() {
    std::string type = text("model_type", "");
    v2_ = type == "deepseek_v2";
    v32_ = type == "deepseek_v32";
    if (!v2_ && !v32_ && type != "deepseek_v3") {
      fault("model_type", fmt::format("'{}' is none of deepseek_v2, deepseek_v3, deepseek_v32", type));
      return {};
    }
    set("decoder_block", "deepseek", "model_type");
    set("attention_type", "mla", "model_type");
    for (const Renamed& r : kRenamed) rename(root_, r, "");
    read_query_rank();
    read_rope();
    read_router();
    read_indexer();
    check_fixed();
    report_unknown_fields();
    return std::move(layer_);
  }

 private:
  void fault(const std::string& field, const std::string& what) { problems_.add("{}: {}: {}", origin_, field, what); }

  void set(std::string_view key, const std::string& yaml, const std::string& field) {
    const KeyRow* row = find_key(key);
    layer_.insert_or_assign(std::string(key), Setting{row, parse_yaml(yaml, field), origin_ + ": " + field});
  }

  // The field as JSON, marked as known; null when absent.
  const json& take(const std::string& field) {
    static const json absent;
    known_.insert(field);
    auto found = root_.find(field);
    return found == root_.end() ? absent : *found;
  }

  std::string text(const std::string& field, const std::string& fallback) {
    const json& value = take(field);
    if (value.is_null()) return fallback;
    if (value.is_string()) return value.get<std::string>();
    fault(field, "is not a text");
    return fallback;
  }

  int64_t integer(const std::string& field, int64_t fallback) {
    const json& value = take(field);
    if (value.is_null()) return fallback;
    if (value.is_number_integer()) return value.get<int64_t>();
    fault(field, "is not an integer");
    return fallback;
  }

  // Copies one number or flag of `from` into its key; `prefix` names the object it stands in.
  void rename(const json& from, const Renamed& r, const std::string& prefix) {
    if (prefix.empty()) known_.insert(r.field);
    auto found = from.find(r.field);
    if (found == from.end() || found->is_null()) {
      if (r.required) fault(prefix + r.field, "is missing");
    } else if (!found->is_number() && !found->is_boolean()) {
      fault(prefix + r.field, "is not a number");
    } else {
      set(r.key, found->dump(), prefix + r.field);
    }
  }

  void read_query_rank() { set("q_lora_rank", fmt::format("{}", integer("q_lora_rank", 0)), "q_lora_rank"); }

  void read_rope() {
    for (const char* object : {"rope_scaling", "rope_parameters"}) {
      const json& rope = take(object);
      if (rope.is_null()) continue;
      if (!rope.is_object()) {
        fault(object, "is not an object");
      } else {
        read_rope_object(rope, std::string(object) + ".");
      }
    }
  }

  void read_rope_object(const json& rope, const std::string& prefix) {
    std::set<std::string> known = {"type", "rope_type", "mscale", "mscale_all_dim"};
    std::string type = rope.value("rope_type", rope.value("type", "default"));
    if (type == "default") {
      rename(rope, {"rope_theta", "rope_max_timescale", false}, prefix);
      known.insert("rope_theta");
    } else if (type == "yarn") {
      set("rope_type", "yarn", prefix + "type");
      for (const Renamed& r : kRopeRenamed) {
        rename(rope, r, prefix);
        known.insert(r.field);
      }
      // The reference takes both as 0 when they are absent: no softmax scale then, and cos and sin are scaled.
      set("mscale", rope.value("mscale", json(0)).dump(), prefix + "mscale");
      set("mscale_all_dim", rope.value("mscale_all_dim", json(0)).dump(), prefix + "mscale_all_dim");
    } else {
      fault(prefix + "type", fmt::format("'{}' is neither default nor yarn", type));
    }
    for (const auto& [field, value] : rope.items()) {
      if (!known.contains(field)) fault(prefix + field, "is a field that is not known and may change the numbers");
    }
  }

  void read_router() {
    std::string score = text("scoring_func", v2_ ? "softmax" : "sigmoid");
    if (score != "softmax" && score != "sigmoid") {
      fault("scoring_func", fmt::format("'{}' is neither softmax nor sigmoid", score));
    }
    set("routed_score_func", score, "scoring_func");
    std::string method = text("topk_method", v2_ ? "greedy" : "noaux_tc");
    int64_t groups = integer("n_group", 1);
    int64_t kept = integer("topk_group", 1);
    if (method != "greedy" && method != "group_limited_greedy" && method != "noaux_tc") {
      fault("topk_method", fmt::format("'{}' is none of greedy, group_limited_greedy, noaux_tc", method));
    }
    bool grouped = method != "greedy" && groups > 1;
    set("n_routing_groups", fmt::format("{}", grouped ? groups : -1), "n_group");
    set("topk_routing_group", fmt::format("{}", grouped ? kept : -1), "topk_group");
    set("routing_group_score", method == "noaux_tc" ? "top2_sum" : "max", "topk_method");
    set("routed_bias", method == "noaux_tc" ? "true" : "false", "topk_method");
    read_normalisation();
  }

  void read_normalisation() {
    const json& norm = take("norm_topk_prob");
    bool on = norm.is_boolean() ? norm.get<bool>() : !v2_;
    // V2 scales the weights only when it does not normalise them, V3 does both: the same for a factor of 1.
    if (v2_ && on && root_.value("routed_scaling_factor", 1.0) != 1.0) {
      fault("norm_topk_prob", "true with a routed_scaling_factor other than 1 is not built for deepseek_v2");
    }
    set("norm_topk_prob", on ? "true" : "false", "norm_topk_prob");
  }

  void read_indexer() {
    if (!v32_) return;
    set("use_indexer", "true", "model_type");
    for (const Renamed& r : kIndexRenamed) rename(root_, r, "");
  }

  // Fields of which one value is built.
  void check_fixed() {
    if (std::string act = text("hidden_act", "silu"); act != "silu") fault("hidden_act", "'" + act + "' is not silu");
    for (const char* field : {"attention_bias", "mlp_bias", "tie_word_embeddings"}) {
      const json& value = take(field);
      if (!value.is_null() && value != json(false)) fault(field, "is not built: it must be false");
    }
    if (integer("moe_layer_freq", 1) != 1)
      fault("moe_layer_freq", "is not 1: every layer after the dense ones is built");
    int64_t head = root_.value("qk_nope_head_dim", int64_t{0}) + root_.value("qk_rope_head_dim", int64_t{0});
    if (integer("qk_head_dim", head) != head) fault("qk_head_dim", "is not qk_nope_head_dim + qk_rope_head_dim");
    if (integer("num_nextn_predict_layers", 0) < 0) fault("num_nextn_predict_layers", "is negative");
    check_layer_types();
  }

  void check_layer_types() {
    const json& types = take("mlp_layer_types");
    if (types.is_null()) return;
    auto dense = static_cast<size_t>(root_.value("first_k_dense_replace", int64_t{0}));
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] != json(i < dense ? "dense" : "sparse")) {
        fault("mlp_layer_types", fmt::format("layer {} contradicts first_k_dense_replace={}", i, dense));
        return;
      }
    }
  }

  void report_unknown_fields() {
    for (const auto& [field, value] : root_.items()) {
      if (known_.contains(field) || passed_over().contains(field)) continue;
      fault(field, "is a field that is not known and may change the numbers");
    }
  }

  const json& root_;
  std::string origin_;
  Problems& problems_;
  Layer layer_;
  std::set<std::string> known_;
  bool v2_ = false;
  bool v32_ = false;
};

}  // namespace

Layer hf_model_layer(const std::string& json_text, const std::string& origin, Problems& problems) {
  json root;
  if (size_t deep = find_deep_json(json_text); deep != std::string::npos) {
    throw FormatError(origin, static_cast<int64_t>(deep), std::string(kDeepJson));
  }
  try {
    root = json::parse(json_text);
  } catch (const json::parse_error& e) {
    throw FormatError(origin, static_cast<int64_t>(e.byte), "not JSON");
  }
  if (!root.is_object()) throw FormatError(origin, "not a JSON object");
  try {
    return Reader(root, origin, problems).read();
  } catch (const json::type_error& e) {
    throw FormatError(origin, std::string("a field of the wrong type: ") + e.what());
  }
}

}  // namespace fathom
