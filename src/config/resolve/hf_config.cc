#include "config/resolve/hf_config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/json_text.h"

namespace fathom {

namespace {

using nlohmann::json;

// What a field must hold.
enum class Wants : uint8_t {
  kCount,        // an integer of at least 1
  kCountOrNone,  // an integer of at least 0
  kPositive,     // a finite number above 0
  kNotNegative,  // a finite number of at least 0
  kFlag,
};

std::string_view describe(Wants wants) {
  constexpr std::string_view kTexts[] = {"an integer of at least 1", "an integer of at least 0", "a number above 0",
                                         "a number of at least 0", "true or false"};
  return kTexts[static_cast<size_t>(wants)];
}

bool holds(const json& value, Wants wants) {
  if (wants == Wants::kFlag) return value.is_boolean();
  if (!value.is_number()) return false;
  if (wants == Wants::kCount || wants == Wants::kCountOrNone) {
    const bool fits = value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
    return fits && value.get<int64_t>() >= (wants == Wants::kCount ? 1 : 0);
  }
  const auto number = value.get<double>();
  return std::isfinite(number) && (wants == Wants::kPositive ? number > 0 : number >= 0);
}

// Fields that are one key under another name.
struct Renamed {
  const char* field;
  const char* key;
  Wants wants;
  bool required = true;
};
constexpr Renamed kRenamed[] = {
    {"hidden_size", "base_emb_dim", Wants::kCount},
    {"intermediate_size", "base_mlp_dim", Wants::kCount},
    {"moe_intermediate_size", "base_moe_mlp_dim", Wants::kCount},
    {"num_hidden_layers", "base_num_decoder_layers", Wants::kCount},
    {"num_attention_heads", "base_num_query_heads", Wants::kCount},
    {"vocab_size", "vocab_size", Wants::kCount},
    {"first_k_dense_replace", "first_num_dense_layers", Wants::kCountOrNone},
    {"n_routed_experts", "num_experts", Wants::kCount},
    {"num_experts_per_tok", "num_experts_per_tok", Wants::kCount},
    {"n_shared_experts", "shared_experts", Wants::kCountOrNone},
    {"routed_scaling_factor", "routed_scaling_factor", Wants::kPositive},
    {"kv_lora_rank", "kv_lora_rank", Wants::kCount},
    {"qk_nope_head_dim", "qk_nope_head_dim", Wants::kCount},
    {"qk_rope_head_dim", "qk_rope_head_dim", Wants::kCount},
    {"v_head_dim", "v_head_dim", Wants::kCount},
    {"max_position_embeddings", "max_position_embeddings", Wants::kCount},
    {"rms_norm_eps", "normalization_layer_epsilon", Wants::kPositive},
    {"rope_theta", "rope_max_timescale", Wants::kPositive, false},
    {"rope_interleave", "rope_interleave", Wants::kFlag, false},
};
constexpr Renamed kTheta = {"rope_theta", "rope_max_timescale", Wants::kPositive, false};
constexpr Renamed kYarn[] = {
    {"factor", "rope_factor", Wants::kPositive},
    {"original_max_position_embeddings", "original_max_position_embeddings", Wants::kCount},
    {"beta_fast", "beta_fast", Wants::kPositive, false},
    {"beta_slow", "beta_slow", Wants::kPositive, false},
    {"truncate", "rope_truncate", Wants::kFlag, false},
    kTheta,
};
// The reference takes both as 0 when they are absent: no softmax scale then, and cos and sin are scaled.
constexpr Renamed kScales[] = {
    {"mscale", "mscale", Wants::kNotNegative, false},
    {"mscale_all_dim", "mscale_all_dim", Wants::kNotNegative, false},
};
constexpr Renamed kIndexRenamed[] = {
    {"index_n_heads", "indexer_n_heads", Wants::kCount},
    {"index_head_dim", "indexer_head_dim", Wants::kCount},
    {"index_topk", "indexer_topk", Wants::kCount},
};

// Fields that no forward pass depends on: training only, token numbers, bookkeeping of the libraries that wrote the
// file, how text is generated (older transformers write all of that out). head_dim is another name of
// qk_rope_head_dim there. Names that begin with an underscore are the library's own, too.
constexpr std::string_view kPassedOver[] = {
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "aux_loss_alpha",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cls_token_id",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "ep_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "head_dim",
    "id2label",
    "initializer_range",
    "is_decoder",
    "label2id",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "max_new_tokens",
    "min_length",
    "model_max_length",
    "model_type",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_router_logits",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "sep_token_id",
    "seq_aux",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "trust_remote_code",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_return_dict",
};

class Reader {
 public:
  Reader(const json& root, std::string origin, Problems& problems)
      : root_(root), origin_(std::move(origin)), problems_(problems) {}

  Layer read() {
    std::string type = text("model_type", "");
    v2_ = type == "deepseek_v2";
    v32_ = type == "deepseek_v32";
    // Kimi K2 is the V3 architecture under a name of its own.
    if (!v2_ && !v32_ && type != "deepseek_v3" && type != "kimi_k2") {
      fault("model_type", fmt::format("'{}' is none of deepseek_v2, deepseek_v3, deepseek_v32, kimi_k2", type));
      return {};
    }
    set("decoder_block", "deepseek", "model_type");
    set("attention_type", "mla", "model_type");
    for (const Renamed& r : kRenamed) rename(root_, r, "");
    read_heads();
    read_query_rank();
    read_rope();
    read_router();
    read_indexer();
    check_fixed();
    check_layers();
    check_quantization();
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

  static std::string shown(const json& value) {
    if (value.is_structured()) return value.is_array() ? "a list" : "an object";  // of any depth
    std::string out = value.dump(-1, ' ', true, json::error_handler_t::replace);
    return out.size() > 40 ? out.substr(0, 40) + "..." : out;
  }

  // Whether the value is there and of the right kind; what is there and is not is a fault.
  bool is(const json& value, Wants wants, const std::string& field) {
    if (value.is_null()) return false;
    if (holds(value, wants)) return true;
    fault(field, fmt::format("is {}, must be {}", shown(value), describe(wants)));
    return false;
  }

  std::string text(const json& value, const std::string& field, const std::string& fallback) {
    if (value.is_null()) return fallback;
    if (value.is_string()) return value.get<std::string>();
    fault(field, fmt::format("is {}, must be a text", shown(value)));
    return fallback;
  }
  std::string text(const std::string& field, const std::string& fallback) { return text(take(field), field, fallback); }

  int64_t integer(const std::string& field, Wants wants, int64_t fallback) {
    const json& value = take(field);
    return is(value, wants, field) ? value.get<int64_t>() : fallback;
  }

  // An integer that has been looked at before; nothing where it is absent or wrong.
  std::optional<int64_t> count(const char* field) const {
    auto found = root_.find(field);
    if (found == root_.end() || !holds(*found, Wants::kCountOrNone)) return std::nullopt;
    return found->get<int64_t>();
  }

  // Copies one number or flag of `from` into its key; `prefix` names the object it stands in.
  void rename(const json& from, const Renamed& r, const std::string& prefix) {
    if (prefix.empty()) known_.insert(r.field);
    auto found = from.find(r.field);
    if (found == from.end() || found->is_null()) {
      if (r.required) fault(prefix + r.field, "is missing");
    } else if (is(*found, r.wants, prefix + r.field)) {
      set(r.key, found->dump(), prefix + r.field);
    }
  }

  // Latent attention has a key and a value for each head.
  void read_heads() {
    const std::optional<int64_t> heads = count("num_attention_heads");
    const int64_t keys = integer("num_key_value_heads", Wants::kCount, heads.value_or(1));
    if (heads && keys != *heads) {
      fault("num_key_value_heads", fmt::format("is {}, num_attention_heads is {}: they must be equal", keys, *heads));
    }
    set("base_num_kv_heads", fmt::format("{}", heads.value_or(keys)), "num_key_value_heads");
    if (count("qk_rope_head_dim").value_or(0) % 2 != 0) {
      fault("qk_rope_head_dim", "is odd: dimensions are rotated in pairs");
    }
  }

  void read_query_rank() {
    set("q_lora_rank", fmt::format("{}", integer("q_lora_rank", Wants::kCountOrNone, 0)), "q_lora_rank");
  }

  void read_rope() {
    const json &scaling = take("rope_scaling"), &parameters = take("rope_parameters");
    for (const auto& [object, rope] : {std::pair("rope_scaling", &scaling), {"rope_parameters", &parameters}}) {
      if (rope->is_null()) continue;
      if (!rope->is_object()) {
        fault(object, fmt::format("is {}, must be an object", shown(*rope)));
      } else {
        read_rope_object(*rope, std::string(object) + ".");
      }
    }
    if (scaling.is_object() && parameters.is_object()) check_agree(scaling, parameters);
  }

  // Two spellings of one thing may stand side by side when they say the same.
  void check_agree(const json& scaling, const json& parameters) {
    for (const auto& [field, value] : scaling.items()) {
      auto other = parameters.find(field);
      if (value.is_structured() || other == parameters.end() || other->is_structured()) continue;
      if (field != "type" && *other != value) {
        fault("rope_parameters." + field,
              fmt::format("is {}, rope_scaling.{} is {}", shown(*other), field, shown(value)));
      }
    }
  }

  std::string rope_type(const json& rope, const std::string& prefix) {
    auto named = [&](const char* field) {
      auto found = rope.find(field);
      return found == rope.end() ? std::string() : text(*found, prefix + field, "");
    };
    const std::string older = named("type"), newer = named("rope_type");
    if (!older.empty() && !newer.empty() && older != newer) {
      fault(prefix + "rope_type", fmt::format("is '{}', {}type is '{}'", newer, prefix, older));
    }
    if (!newer.empty()) return newer;
    return older.empty() ? "default" : older;
  }

  void read_rope_object(const json& rope, const std::string& prefix) {
    std::set<std::string> known = {"type", "rope_type", "mscale", "mscale_all_dim"};
    const std::string type = rope_type(rope, prefix);
    if (type == "default") {
      rename(rope, kTheta, prefix);
      known.insert(kTheta.field);
    } else if (type == "yarn") {
      set("rope_type", "yarn", prefix + "type");
      for (const Renamed& r : kYarn) {
        rename(rope, r, prefix);
        known.insert(r.field);
      }
      for (const Renamed& r : kScales) {
        set(r.key, "0", prefix + r.field);
        rename(rope, r, prefix);
      }
    } else {
      return fault(prefix + "type", fmt::format("'{}' is neither default nor yarn", type));
    }
    for (const auto& [field, value] : rope.items()) {
      if (!known.contains(field) && !value.is_null()) {
        fault(prefix + field, "is a field that is not known and may change the numbers");
      }
    }
  }

  void read_router() {
    std::string score = text("scoring_func", v2_ ? "softmax" : "sigmoid");
    if (score != "softmax" && score != "sigmoid") {
      fault("scoring_func", fmt::format("'{}' is neither softmax nor sigmoid", score));
    }
    set("routed_score_func", score, "scoring_func");
    std::string method = text("topk_method", v2_ ? "greedy" : "noaux_tc");
    if (method != "greedy" && method != "group_limited_greedy" && method != "noaux_tc") {
      fault("topk_method", fmt::format("'{}' is none of greedy, group_limited_greedy, noaux_tc", method));
    }
    const int64_t groups = integer("n_group", Wants::kCount, 1), kept = integer("topk_group", Wants::kCount, 1);
    const bool grouped = method != "greedy" && groups > 1;
    if (grouped) {
      check_groups(groups, kept);
    } else {
      check_chosen(count("n_routed_experts"), "n_routed_experts");
    }
    set("n_routing_groups", fmt::format("{}", grouped ? groups : -1), "n_group");
    set("topk_routing_group", fmt::format("{}", grouped ? kept : -1), "topk_group");
    set("routing_group_score", method == "noaux_tc" ? "top2_sum" : "max", "topk_method");
    set("routed_bias", method == "noaux_tc" ? "true" : "false", "topk_method");
    read_normalisation();
  }

  void check_groups(int64_t groups, int64_t kept) {
    const std::optional<int64_t> experts = count("n_routed_experts");
    if (kept > groups) {
      fault("topk_group", fmt::format("is {}, more than the {} of n_group", kept, groups));
    } else if (experts && *experts % groups != 0) {
      fault("n_group", fmt::format("is {}, which does not divide n_routed_experts={}", groups, *experts));
    } else if (experts) {
      check_chosen(*experts / groups * kept, "the groups kept (topk_group)");
    }
  }

  void check_chosen(std::optional<int64_t> candidates, const char* of) {
    const std::optional<int64_t> chosen = count("num_experts_per_tok");
    if (candidates && chosen && *chosen > *candidates) {
      fault("num_experts_per_tok", fmt::format("is {}, more than the {} experts of {}", *chosen, *candidates, of));
    }
  }

  void read_normalisation() {
    const json& norm = take("norm_topk_prob");
    const bool on = is(norm, Wants::kFlag, "norm_topk_prob") ? norm.get<bool>() : !v2_;
    // V2 scales the weights only when it does not normalise them, V3 does both: the same for a factor of 1.
    if (auto factor = root_.find("routed_scaling_factor"); v2_ && on && factor != root_.end() && *factor != json(1)) {
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
    for (const char* field :
         {"attention_bias", "mlp_bias", "tie_word_embeddings", "is_encoder_decoder", "add_cross_attention"}) {
      const json& value = take(field);
      if (!value.is_null() && value != json(false)) fault(field, "is not built: it must be false");
    }
    const json& pruned = take("pruned_heads");
    if (!pruned.is_null() && !pruned.empty()) fault("pruned_heads", "is not built: it must be empty");
    if (integer("moe_layer_freq", Wants::kCount, 1) != 1)
      fault("moe_layer_freq", "is not 1: every layer after the dense ones is built");
    const int64_t head = count("qk_nope_head_dim").value_or(0) + count("qk_rope_head_dim").value_or(0);
    if (integer("qk_head_dim", Wants::kCount, head) != head) {
      fault("qk_head_dim", "is not qk_nope_head_dim + qk_rope_head_dim");
    }
    integer("num_nextn_predict_layers", Wants::kCountOrNone, 0);
  }

  void check_layers() {
    const std::optional<int64_t> layers = count("num_hidden_layers"), dense = count("first_k_dense_replace");
    if (layers.value_or(0) > 0 && dense && *dense > *layers) {
      fault("first_k_dense_replace", fmt::format("is {}, more than num_hidden_layers={}", *dense, *layers));
    }
    check_list(
        "mlp_layer_types", [&](int64_t i) { return i < dense.value_or(0) ? "dense" : "sparse"; },
        "first_k_dense_replace");
    check_list(
        "layer_types", [&](int64_t) { return v32_ ? "indexed_attention" : "full_attention"; }, "model_type");
  }

  // A list with a word for each layer, which another field says too.
  template <class F>
  void check_list(const std::string& field, F word, const char* other) {
    const json& words = take(field);
    if (words.is_null()) return;
    const std::optional<int64_t> layers = count("num_hidden_layers");
    if (!words.is_array() || (layers && static_cast<int64_t>(words.size()) != *layers)) {
      return fault(field, "is not a list with a word for each of num_hidden_layers");
    }
    for (size_t i = 0; i < words.size(); ++i) {
      if (words[i] == json(word(static_cast<int64_t>(i)))) continue;
      auto by = root_.find(other);
      const std::string said = by == root_.end() ? "" : by->is_string() ? by->get<std::string>() : shown(*by);
      return fault(field, fmt::format("layer {} contradicts {}={}", i, other, said));
    }
  }

  // What the tensors are is seen when they are read; another format than the released one is not read at all.
  void check_quantization() {
    const json& quantization = take("quantization_config");
    if (quantization.is_null()) return;
    if (!quantization.is_object()) return fault("quantization_config", "is not an object");
    auto method = quantization.find("quant_method");
    const std::string named = method == quantization.end() ? "" : text(*method, "quantization_config.quant_method", "");
    if (named != "fp8") fault("quantization_config.quant_method", fmt::format("'{}' is not fp8", named));
  }

  void report_unknown_fields() {
    for (const auto& [field, value] : root_.items()) {
      const bool harmless =
          value.is_null() || field.starts_with('_') || std::ranges::find(kPassedOver, field) != std::end(kPassedOver);
      if (known_.contains(field) || harmless) continue;
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
  require_plain_json(origin, json_text);
  try {
    root = json::parse(json_text);
  } catch (const json::exception& e) {
    throw_json_mistake(origin, e);
  }
  if (!root.is_object()) throw FormatError(origin, "not a JSON object");
  try {
    return Reader(root, origin, problems).read();
  } catch (const json::type_error& e) {
    throw FormatError(origin, "a field of the wrong type: " + json_mistake(e).text);
  }
}

}  // namespace fathom
