#include "config/resolve/derive.h"

#include <fmt/ranges.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>

#include "base/error.h"
#include "base/remat_names.h"
#include "base/remote_path.h"
#include "config/resolve/validate.h"
#include "storage/file_store.h"
#include "storage/hub.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

// Whether some layer gives the key a value other than none and empty.
bool is_set(const Layer& settings, std::string_view key) {
  const Setting* setting = find_setting(settings, key);
  return setting != nullptr && !setting->raw.is_none() && !(setting->raw.text.empty() && setting->raw.items.empty());
}

// The peer deals the doublings of global_parameter_scale out in turn: heads and MLP width, hidden width, layers.
void derive_dimensions(Config& c, Problems& problems) {
  int64_t scale = c.global_parameter_scale;
  if (scale < 1 || (scale & (scale - 1)) != 0) {
    problems.add("global_parameter_scale={} is not a power of two", scale);
    scale = 1;
  }
  int doublings = 0;
  while ((int64_t{2} << doublings) <= scale) ++doublings;
  int rounds = doublings / 3;
  int rest = doublings % 3;
  int64_t heads_and_mlp = int64_t{1} << (rounds + (rest > 0 ? 1 : 0));
  c.emb_dim = c.base_emb_dim << (rounds + (rest > 1 ? 1 : 0));
  c.num_query_heads = c.base_num_query_heads * heads_and_mlp;
  c.num_kv_heads = c.base_num_kv_heads * heads_and_mlp;
  c.mlp_dim = c.base_mlp_dim * heads_and_mlp;
  c.moe_mlp_dim = c.base_moe_mlp_dim * heads_and_mlp;
  c.num_decoder_layers = c.base_num_decoder_layers << rounds;
}

// yarn's scale for a weight m: 0.1 m ln(factor) + 1, and 1 where nothing is stretched.
double yarn_scale(double factor, double m) { return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0; }

void derive_rope(Config& c) {
  if (c.mscale_all_dim < 0) c.mscale_all_dim = c.mscale;
  if (c.rope_type != RopeType::kYarn) return;
  if (c.defaults == DefaultsKind::kMaxtext) {
    // The peer scales the softmax by mscale, and only where positions beyond the original ones are allowed.
    bool stretched = c.max_position_embeddings > c.original_max_position_embeddings;
    c.softmax_scale_factor = stretched ? std::pow(yarn_scale(c.rope_factor, c.mscale), 2) : 1.0;
  } else {
    // Hugging Face: a missing or zero mscale_all_dim leaves the softmax alone, and then cos and sin carry the scale.
    bool both = c.mscale != 0 && c.mscale_all_dim != 0;
    double all = yarn_scale(c.rope_factor, c.mscale_all_dim);
    c.softmax_scale_factor = c.mscale_all_dim != 0 ? all * all : 1.0;
    c.rope_output_scale = both ? yarn_scale(c.rope_factor, c.mscale) / all : yarn_scale(c.rope_factor, 1.0);
  }
  if (c.rope_attention_scaling) c.rope_output_scale = yarn_scale(c.rope_factor, 1.0);
}

void tell_experts(const Config& c, std::vector<std::string>& notices) {
  if (c.moe_use_megatron_seq_aux_loss && c.routed_score_func != ScoreFunc::kSigmoid) {
    notices.emplace_back("moe_use_megatron_seq_aux_loss=True has no effect: the model's scores are no sigmoids");
  }
  if (c.ragged_buffer_factor > 0) {
    const bool split = c.ici_expert_parallelism != 1 || c.dcn_expert_parallelism != 1;
    std::string_view what =
        "bounds what a device is sent for its experts: choices beyond it are dropped, and "
        "learning/moe_dropped_fraction says what part of all";
    if (!split) what = "has no effect: no device is sent tokens where experts are not split (ici_expert_parallelism)";
    if (!c.sparse_matmul) what = "has no effect: with sparse_matmul=False no token is sent to its experts";
    notices.push_back(fmt::format("ragged_buffer_factor={} {}", c.ragged_buffer_factor, what));
  }
  if (!c.sparse_matmul || c.capacity_factor <= 0) return;
  notices.push_back(fmt::format(
      "capacity_factor={} drops no token: with sparse_matmul=True every token reaches its experts", c.capacity_factor));
}

bool groups_fit(const Config& c) {
  Problems problems;
  check_groups(c, problems);
  return problems.empty();
}

void derive_routing(Config& c, const DeriveInput& in, std::vector<std::string>& notices) {
  auto from_model = [&](std::string_view key) {
    const Setting* setting = find_setting(in.settings, key);
    const Setting* model = find_setting(in.model, key);
    return setting != nullptr && model != nullptr && setting->origin == model->origin;
  };
  bool ours = from_model("n_routing_groups") && from_model("topk_routing_group");
  // The peer's model files do not limit the groups: only what the user gives counts.
  if (c.defaults == DefaultsKind::kMaxtext && c.model_name != "auto") {
    if (from_model("n_routing_groups")) c.n_routing_groups = -1;
    if (from_model("topk_routing_group")) c.topk_routing_group = -1;
  }
  bool other_experts = !from_model("num_experts") || !from_model("num_experts_per_tok");
  if (ours && other_experts && c.n_routing_groups > 1 && !groups_fit(c)) {
    notices.push_back(fmt::format(
        "the model's n_routing_groups={} does not fit num_experts={} and num_experts_per_tok={}: experts are "
        "chosen from all of them",
        c.n_routing_groups, c.num_experts, c.num_experts_per_tok));
    c.n_routing_groups = -1;
  }
  // One group out of one keeps everything.
  if (c.n_routing_groups <= 1) {
    c.n_routing_groups = 0;
    c.topk_routing_group = 0;
  }
}

void derive_steps(Config& c, std::vector<std::string>& notices, Problems& problems) {
  if (c.steps == -1) c.steps = c.learning_rate_schedule_steps;
  if (c.learning_rate_schedule_steps == -1) c.learning_rate_schedule_steps = c.steps;
  if (c.steps == -1) problems.add("steps=-1 and learning_rate_schedule_steps=-1: give one of them");
  if (c.learning_rate_schedule_steps < c.steps) {
    notices.push_back(
        fmt::format("learning_rate_schedule_steps={} is less than steps={}: the learning rate is 0 from step {} on",
                    c.learning_rate_schedule_steps, c.steps, c.learning_rate_schedule_steps));
  }
}

std::string minute_stamp() {
  std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local = {};
  localtime_r(&now, &local);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d-%H-%M", &local)};
}

// The path with its `~` written out.
std::string whole_path(std::string_view key, const std::string& path, const DeriveInput& in, Problems& problems) {
  try {
    return expand_home(path, in.environment);
  } catch (const ConfigError& e) {
    problems.add("{}: {}", key, e.what());
    return path;
  }
}

void derive_cache(Config& c, const DeriveInput& in, std::vector<std::string>& notices, Problems& problems) {
  if (!is_set(in.settings, "jax_cache_dir") && variable(in.environment, "HOME").empty() && !c.jax_cache_dir.empty()) {
    notices.emplace_back("HOME is not set: no compile cache is kept; jax_cache_dir=<folder> names one");
    c.jax_cache_dir.clear();
  }
  c.jax_cache_dir = whole_path("jax_cache_dir", c.jax_cache_dir, in, problems);
}

void derive_folders(Config& c, const DeriveInput& in, std::vector<std::string>& notices, Problems& problems) {
  if (c.base_output_directory.empty()) {
    c.base_output_directory = "./fathom_output";
    // Other commands have no run folder.
    if (in.options.needs_data) notices.emplace_back("base_output_directory is not given: writing to ./fathom_output");
  }
  if (c.run_name.empty()) c.run_name = variable(in.environment, "JOBSET_NAME");
  if (c.run_name.empty()) c.run_name = c.model_name + "_" + minute_stamp();
  std::string base = whole_path("base_output_directory", c.base_output_directory, in, problems);
  const bool remote = is_remote(base);
  while (base.size() > 1 && base.ends_with('/')) base.pop_back();
  if (remote && !is_remote(base)) problems.add("base_output_directory={}: names no bucket", c.base_output_directory);
  c.base_output_directory = base;
  c.run_directory = base + "/" + c.run_name;
}

// Data that the user names beside dataset_type=synthetic would not be read.
void derive_synthetic(const Config& c, const DeriveInput& in, std::vector<std::string>& notices, Problems& problems) {
  if (c.use_sft) notices.emplace_back("use_sft=True has no effect: dataset_type=synthetic has no conversations");
  for (const char* key : {"dataset_path", "hf_path", "hf_train_files"}) {
    const Setting* setting = find_setting(in.settings, key);
    if (setting == nullptr || !is_set(in.settings, key) || !from_user(*setting)) continue;
    const std::string what =
        fmt::format("{}={} is not read: dataset_type=synthetic makes random tokens", key, flow_text(setting->raw));
    if (c.use_sft) problems.add("{}; leave one of them out", what);
    if (!c.use_sft) notices.push_back(what);
  }
}

void derive_dataset(Config& c, const DeriveInput& in, std::vector<std::string>& notices, Problems& problems) {
  const auto unset = [&](const char* key) { return !is_set(in.settings, key); };
  if (!c.tokenize_train_data && unset("train_data_columns")) c.train_data_columns = {"tokens"};
  if (!c.tokenize_eval_data && unset("eval_data_columns")) c.eval_data_columns = {"tokens"};
  if (c.use_sft && unset("train_data_columns")) c.train_data_columns = {"messages"};
  if (c.use_sft && unset("eval_data_columns")) c.eval_data_columns = {"messages"};
  if (c.defaults != DefaultsKind::kMaxtext && unset("eval_dataset_name")) c.eval_dataset_name = c.dataset_name;
  if (!unset("dataset_type")) {
    if (c.dataset_type == DatasetType::kSynthetic && in.options.needs_data) derive_synthetic(c, in, notices, problems);
    return;
  }
  c.dataset_type = DatasetType::kSynthetic;
  if (c.defaults == DefaultsKind::kMaxtext || !in.options.needs_data) return;
  if (!c.dataset_path.empty() && !c.hf_path.empty()) {
    problems.add("dataset_path and hf_path are both given: dataset_type=files or dataset_type=hf says which counts");
  } else if (!c.dataset_path.empty() && !unset("dataset_name")) {
    c.dataset_type = DatasetType::kTfds;
    notices.emplace_back("dataset_type is not given: tfds, for dataset_path and dataset_name are");
  } else if (!c.dataset_path.empty()) {
    c.dataset_type = DatasetType::kFiles;
    notices.emplace_back("dataset_type is not given: files, for dataset_path is");
  } else if (!c.hf_path.empty()) {
    c.dataset_type = DatasetType::kHf;
    notices.emplace_back("dataset_type is not given: hf, for hf_path is");
  } else {
    problems.add(
        "no data set: give dataset_path=<file or folder>, hf_path=<data set>, or dataset_type=synthetic for random "
        "tokens");
  }
}

bool has_tokenizer(const std::string& folder) {
  const std::string path = join_path(folder, "tokenizer.json");
  return !folder.empty() && file_store(path).kind(path) == PathKind::kFile;
}

void derive_tokenizer(Config& c, const DeriveInput& in, std::vector<std::string>& notices, Problems& problems) {
  const bool encodes = c.tokenize_train_data || (c.eval_interval > 0 && c.tokenize_eval_data);
  bool text = in.options.needs_data && c.dataset_type != DatasetType::kSynthetic && encodes;
  bool needed = text || in.options.needs_tokenizer;
  if (c.tokenizer_path.empty()) {
    // Folders that were converted carry the tokenizer beside `items`.
    const std::string& loaded = c.load_parameters_path.empty() ? c.load_full_state_path : c.load_parameters_path;
    const std::string model = in.options.model_folder.empty() ? loaded : in.options.model_folder;
    if (!needed && is_remote(model)) return;
    for (const std::string& folder : {model, folder_above(model)}) {
      if (has_tokenizer(folder)) c.tokenizer_path = folder;
      if (!c.tokenizer_path.empty()) break;
    }
    if (!c.tokenizer_path.empty() && needed) {
      notices.push_back(fmt::format("tokenizer_path is not given: the model folder's own, {}", c.tokenizer_path));
    }
    if (c.tokenizer_path.empty() && needed) {
      const bool of_evaluation = text && !c.tokenize_train_data && !in.options.needs_tokenizer;
      problems.add(
          "no tokenizer: give tokenizer_path=<folder with tokenizer.json, or a name such as deepseek-ai/DeepSeek-V3>{}",
          of_evaluation ? "; it is for the evaluation (eval_interval), whose data hold token ids only with "
                          "tokenize_eval_data=False"
                        : "");
    }
    return;
  }
  if (needed && c.tokenizer_type != "huggingface") {
    problems.add("tokenizer_type={}: only tokenizer.json is read (tokenizer_type=huggingface)", c.tokenizer_type);
  }
  try {
    c.tokenizer_path = find_in_hub("tokenizer_path", c.tokenizer_path, HubKind::kModel, in.environment);
  } catch (const ConfigError& e) {
    if (needed) problems.add("{}", e.what());
  }
}

// A local path, or the folder of a pattern (`folder/*.jsonl`), must be there.
void need_path(const char* key, const std::string& path, Problems& problems) {
  if (is_remote(path)) return;
  std::error_code fault;
  fs::path there = path;
  if (there.filename().string().find_first_of("*?[") != std::string::npos && !fs::exists(there, fault)) {
    there = there.has_parent_path() ? there.parent_path() : fs::path(".");
  }
  if (fs::exists(there, fault)) return;
  const bool absent = !fault || fault == std::errc::no_such_file_or_directory;
  problems.add("{}={}: {}", key, path, absent ? "no such file or folder" : fault.message());
}

void derive_paths(Config& c, const DeriveInput& in, Problems& problems) {
  auto look_up = [&](std::string& path, const char* key, HubKind kind) {
    try {
      path = find_in_hub(key, path, kind, in.environment);
    } catch (const ConfigError& e) {
      problems.add("{}", e.what());
    }
  };
  if (!c.load_parameters_path.empty()) look_up(c.load_parameters_path, "load_parameters_path", HubKind::kModel);
  if (!c.load_full_state_path.empty()) look_up(c.load_full_state_path, "load_full_state_path", HubKind::kModel);
  if (!c.mmlu_path.empty()) look_up(c.mmlu_path, "mmlu_path", HubKind::kDataset);
  c.chat_template_path = whole_path("chat_template_path", c.chat_template_path, in, problems);
  if (!in.options.needs_data) return;
  const bool of_hub = c.dataset_type == DatasetType::kHf && !c.hf_path.empty() && !is_loader_name(c.hf_path);
  // What hf_train_files names is read in its place, and an evaluation may still read its split.
  const bool evaluates = c.eval_interval > 0 && c.hf_eval_files.empty();
  if (of_hub && (c.hf_train_files.empty() || evaluates)) {
    look_up(c.hf_path, "hf_path", HubKind::kDataset);
    if (!c.hf_data_dir.empty()) need_path("hf_data_dir", join_path(c.hf_path, c.hf_data_dir), problems);
  }
  const bool from_path = c.dataset_type == DatasetType::kFiles || c.dataset_type == DatasetType::kTfds;
  if (from_path && !c.dataset_path.empty()) {
    c.dataset_path = whole_path("dataset_path", c.dataset_path, in, problems);
    need_path("dataset_path", c.dataset_path, problems);
  }
  if (!c.chat_template_path.empty()) need_path("chat_template_path", c.chat_template_path, problems);
  c.hf_train_files = whole_path("hf_train_files", c.hf_train_files, in, problems);
  c.hf_eval_files = whole_path("hf_eval_files", c.hf_eval_files, in, problems);
}

const std::vector<std::string> kProjections = {"query_proj", "key_proj", "value_proj", "kv_proj", "qkv_proj"};

std::vector<std::string> projections_and(std::initializer_list<const char*> more) {
  std::vector<std::string> out = kProjections;
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

// The keys of single tensors that have this value.
std::vector<std::string> custom_tensors(const Config& config, RematChoice choice) {
  std::vector<std::string> out;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.binding == nullptr || row.type != KeyType::kChoice) continue;
      bool per_tensor = row.binding->choices().data() == enum_names(RematChoice::kRemat).data();
      if (per_tensor && row.binding->get(config) == KeyValue(std::string(name_of(choice)))) out.emplace_back(row.name);
    }
  }
  return out;
}

// A layer's input on the device is kept without being named.
std::vector<std::string> custom_saved(const Config& config) {
  std::vector<std::string> out = custom_tensors(config, RematChoice::kDevice);
  std::erase(out, "decoder_layer_input");
  return out;
}

}  // namespace

std::vector<std::string> saved_tensors(const Config& config) {
  switch (config.remat_policy) {
    case RematPolicy::kNone:
    case RematPolicy::kFull:
      return {};
    case RematPolicy::kMinimal:
    case RematPolicy::kMinimalOffloaded:
      return projections_and({"out_proj", "mlpwi_0", "mlpwi_1", "mlpwi", "mlpwo"});
    case RematPolicy::kMinimalWithContext:
    case RematPolicy::kMinimalFlash:
      return projections_and({"out_proj", "mlpwi_0", "mlpwi_1", "mlpwi", "mlpwo", "context"});
    case RematPolicy::kSaveDotWithContextExceptMlp:
      return projections_and({"out_proj", "context"});
    case RematPolicy::kSaveDotExceptMlpwi:
      return projections_and({"out_proj", "mlpwo"});
    case RematPolicy::kSaveDotExceptMlp:
      return projections_and({"out_proj"});
    case RematPolicy::kSaveQkvProj:
    case RematPolicy::kQkvProjOffloaded:
      return kProjections;
    case RematPolicy::kSaveOutProj:
      return {"out_proj"};
    case RematPolicy::kCustom:
      return custom_saved(config);
  }
  return {};
}

namespace {

// What the keys say is kept in the host's memory.
std::vector<std::string> offloaded_tensors(const Config& config) {
  const RematPolicy policy = config.remat_policy;
  if (policy == RematPolicy::kCustom) return custom_tensors(config, RematChoice::kOffload);
  const bool all = policy == RematPolicy::kMinimalOffloaded || policy == RematPolicy::kQkvProjOffloaded;
  return all ? saved_tensors(config) : std::vector<std::string>{};
}

// The memory of a CPU's devices is the host's: there offloaded tensors are kept as others are.
std::vector<std::string> with_offload(const Config& c, std::vector<std::string> saved,
                                      std::vector<std::string>& notices) {
  const bool here = c.hardware == Hardware::kCpu && c.compile_topology.empty();
  for (const std::string& tensor : offloaded_tensors(c)) {
    const bool custom = c.remat_policy == RematPolicy::kCustom;
    std::erase(saved, tensor);
    if (!here) saved.push_back(tensor + std::string(kOnHost));
    if (here && tensor != "decoder_layer_input") saved.push_back(tensor);
    if (here && custom) notices.push_back(tensor + "=offload is taken as device: a CPU's memory is the host's");
  }
  if (here && c.remat_policy == RematPolicy::kMinimalOffloaded) {
    notices.emplace_back("remat_policy=minimal_offloaded is taken as minimal: a CPU's memory is the host's");
  }
  if (here && c.remat_policy == RematPolicy::kQkvProjOffloaded) {
    notices.emplace_back("remat_policy=qkv_proj_offloaded is taken as save_qkv_proj: a CPU's memory is the host's");
  }
  return saved;
}

// The keys of single tensors are of the policy `custom` alone.
void tell_unused_tensors(const Config& c, std::vector<std::string>& notices) {
  if (c.remat_policy == RematPolicy::kCustom) return;
  std::vector<std::string> unused;
  for (const RematChoice choice : {RematChoice::kDevice, RematChoice::kOffload}) {
    for (const std::string& tensor : custom_tensors(c, choice)) {
      const KeyRow* row = find_key(tensor);
      // What is ignored has had a line of its own.
      if (row->key_class != KeyClass::kBuilt || name_of(choice) == row->default_text) continue;
      unused.push_back(fmt::format("{}={}", tensor, name_of(choice)));
    }
  }
  if (unused.empty()) return;
  notices.push_back(
      fmt::format("{} {} no effect with remat_policy={}: remat_policy=custom takes the keys of single tensors",
                  fmt::join(unused, ", "), unused.size() == 1 ? "has" : "have", name_of(c.remat_policy)));
}

}  // namespace

// The dense warm-up (V3.2 report, section 2.1.1) is the stage of an indexer that has a loss and no sparse training.
void derive_indexer(Config& c, const DeriveInput& in, std::vector<std::string>& notices) {
  const bool as_peer = c.defaults == DefaultsKind::kMaxtext;
  c.indexer_dense_warmup =
      c.use_indexer && !c.indexer_sparse_training && (c.indexer_loss_scaling_factor > 0 || as_peer);
  if (as_peer && !is_set(in.settings, "indexer_warmup_attention")) {
    c.indexer_warmup_attention = WarmupAttention::kSparse;
  }
  if (!c.use_indexer && c.indexer_sparse_training) {
    notices.emplace_back("indexer_sparse_training=True has no effect: use_indexer=False");
  }
  if (!c.indexer_dense_warmup || as_peer || !c.trainable_parameters_mask.empty()) return;
  c.trainable_parameters_mask = {".*indexer.*"};
  notices.emplace_back("dense warm-up of the indexer: trainable_parameters_mask=['.*indexer.*'], all else is frozen");
}

// What the released weights mean, or as MaxText 0.2.5 has it.
void derive_prediction(Config& c, const DeriveInput& in) {
  if (c.defaults == DefaultsKind::kMaxtext && !is_set(in.settings, "mtp_variant")) {
    c.mtp_variant = PredictionVariant::kPreOwn;
  }
}

void derive(Config& config, const DeriveInput& input, std::vector<std::string>& notices, Problems& problems) {
  if (!is_set(input.settings, "hardware")) config.hardware = input.options.found_hardware;
  if (!is_set(input.settings, "mu_dtype")) config.mu_dtype = config.weight_dtype;
  if (config.eval_per_device_batch_size == 0) config.eval_per_device_batch_size = config.per_device_batch_size;
  derive_dimensions(config, problems);
  derive_rope(config);
  derive_routing(config, input, notices);
  tell_experts(config, notices);
  derive_steps(config, notices, problems);
  derive_indexer(config, input, notices);
  derive_prediction(config, input);
  config.remat = config.remat_policy != RematPolicy::kNone;
  config.remat_saved = with_offload(config, saved_tensors(config), notices);
  tell_unused_tensors(config, notices);
  derive_folders(config, input, notices, problems);
  derive_cache(config, input, notices, problems);
  derive_dataset(config, input, notices, problems);
  derive_paths(config, input, problems);
  derive_tokenizer(config, input, notices, problems);
}

}  // namespace fathom
