#include "config/resolve/validate.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "base/python_regex.h"
#include "mesh/batch_sizes.h"

namespace fathom {

namespace {

void check_dimensions(const Config& c, Problems& p) {
  if (c.first_num_dense_layers > c.num_decoder_layers) {
    p.add("first_num_dense_layers={} is more than the {} layers of base_num_decoder_layers", c.first_num_dense_layers,
          c.num_decoder_layers);
  }
}

void check_attention(const Config& c, Problems& p) {
  if (c.qk_rope_head_dim % 2 != 0) {
    p.add("qk_rope_head_dim={}: rotation needs pairs, an even number", c.qk_rope_head_dim);
  }
  if (c.base_num_kv_heads != c.base_num_query_heads) {
    p.add("base_num_kv_heads={} differs from base_num_query_heads={}: latent attention has one key and value a head",
          c.base_num_kv_heads, c.base_num_query_heads);
  }
  if (c.rope_type != RopeType::kYarn) return;
  if (!(c.beta_fast >= c.beta_slow)) p.add("beta_fast={} must not be below beta_slow={}", c.beta_fast, c.beta_slow);
}

void check_experts(const Config& c, Problems& p) {
  if (c.first_num_dense_layers < c.num_decoder_layers && c.base_moe_mlp_dim < 1) {
    p.add("base_moe_mlp_dim={}: layers with experts need their width", c.base_moe_mlp_dim);
  }
  if (c.num_experts_per_tok > c.num_experts) {
    p.add("num_experts_per_tok={} is more than num_experts={}", c.num_experts_per_tok, c.num_experts);
  }
  if (c.routed_bias_update_rate > 0 && !c.routed_bias) {
    p.add("routed_bias_update_rate={} needs routed_bias=True", c.routed_bias_update_rate);
  }
  if (c.mtp_eval_target_module > c.mtp_num_layers) {
    p.add("mtp_eval_target_module={} is beyond mtp_num_layers={}", c.mtp_eval_target_module, c.mtp_num_layers);
  }
  check_groups(c, p);
}

void check_indexer(const Config& c, Problems& p) {
  if (!c.use_indexer) {
    if (c.indexer_loss_scaling_factor > 0) {
      p.add("indexer_loss_scaling_factor={} needs use_indexer=True", c.indexer_loss_scaling_factor);
    }
    return;
  }
  if (c.q_lora_rank == 0) p.add("use_indexer=True needs the compressed query: q_lora_rank above 0");
  if (c.indexer_head_dim < c.qk_rope_head_dim) {
    p.add("indexer_head_dim={} is less than qk_rope_head_dim={}", c.indexer_head_dim, c.qk_rope_head_dim);
  }
  if (c.indexer_loss_scaling_factor > 0 && c.indexer_topk >= c.max_target_length) {
    p.add("indexer_topk={} keeps every key of max_target_length={}: indexer_loss_scaling_factor needs it below",
          c.indexer_topk, c.max_target_length);
  }
}

void check_schedule(const Config& c, Problems& p) {
  if (c.lr_schedule_type == LrScheduleType::kWsd && c.warmup_steps_fraction + c.wsd_decay_steps_fraction > 1) {
    p.add("warmup_steps_fraction={} and wsd_decay_steps_fraction={} are more than the whole schedule",
          c.warmup_steps_fraction, c.wsd_decay_steps_fraction);
  }
}

void check_masks(const Config& c, Problems& p) {
  for (auto [key, masks] : {std::pair{"adamw_mask", &c.adamw_mask},
                            {"trainable_parameters_mask", &c.trainable_parameters_mask},
                            {"init_missing_parameters", &c.init_missing_parameters}}) {
    for (const std::string& mask : *masks) {
      try {
        PythonRegex compiled(mask);
      } catch (const PatternError& e) {
        constexpr size_t kShown = 80;
        p.add("{}: '{}{}' is no regular expression of Python's: {}", key, mask.substr(0, kShown),
              mask.size() > kShown ? "..." : "", e.what());
      }
    }
  }
}

void check_loop(const Config& c, Problems& p) {
  if (c.use_tunix_gradient_accumulation && c.gradient_accumulation_steps > 1) {
    p.add(
        "use_tunix_gradient_accumulation=True with gradient_accumulation_steps={}: the mean over micro-batches is not "
        "built; False takes the mean over tokens, which is what one large batch gives",
        c.gradient_accumulation_steps);
  }
  if (!c.profiler.empty() && c.profiler != "xplane" && c.profiler != "nsys") {
    p.add("profiler={}: must be empty, xplane or nsys", c.profiler);
  }
}

using Columns = std::vector<std::string>;

// Text, or token ids, are read from one column; conversations from one, or from two with questions and answers.
void check_columns(const Config& c, std::string_view key, const Columns& columns, Problems& p) {
  if (!c.use_sft) {
    if (columns.size() != 1) p.add("{} names {} columns: pre-training reads one column", key, columns.size());
    return;
  }
  for (const Columns& known : {Columns{"messages"}, Columns{"prompt", "completion"}, Columns{"question", "answer"}}) {
    if (columns == known) return;
  }
  p.add("{}=[{}]: use_sft=True reads [messages], [prompt, completion] or [question, answer]", key,
        fmt::join(columns, ", "));
}

void check_conversations(const Config& c, Problems& p) {
  if (!c.use_sft || c.dataset_type == DatasetType::kSynthetic) return;
  if (c.dataset_type == DatasetType::kTfds) {
    p.add("use_sft=True reads conversations of hf_path (dataset_type=hf) or dataset_path (dataset_type=files)");
  }
  if (!c.tokenize_train_data || (c.eval_interval > 0 && !c.tokenize_eval_data)) {
    p.add("use_sft=True writes and encodes conversations: tokenize_train_data=False has no meaning beside it");
  }
  if (!c.chat_template.empty() && !c.chat_template_path.empty()) {
    p.add("chat_template and chat_template_path are both given: one of them is the template");
  }
}

void check_evaluation_data(const Config& c, Problems& p) {
  if (c.dataset_type == DatasetType::kSynthetic) {
    if (c.eval_steps < 0) p.add("eval_steps=-1 never ends with dataset_type=synthetic: give a number");
    return;
  }
  if (c.dataset_type == DatasetType::kHf && c.hf_eval_split.empty() && c.hf_eval_files.empty()) {
    p.add("eval_interval={} needs evaluation data: give hf_eval_split or hf_eval_files", c.eval_interval);
  }
  check_columns(c, "eval_data_columns", c.eval_data_columns, p);
}

void check_data(const Config& c, Problems& p) {
  const bool from_path = c.dataset_type == DatasetType::kFiles || c.dataset_type == DatasetType::kTfds;
  if (from_path && c.dataset_path.empty()) p.add("dataset_type={} needs dataset_path", name_of(c.dataset_type));
  if (c.dataset_type == DatasetType::kHf && c.hf_path.empty() && c.hf_train_files.empty()) {
    p.add("dataset_type=hf needs hf_path or hf_train_files");
  }
  if (c.dataset_type == DatasetType::kHf && is_loader_name(c.hf_path) && c.hf_train_files.empty()) {
    p.add("hf_path={} names a kind of file: hf_train_files must name the files", c.hf_path);
  }
  if (!c.hf_data_dir.empty() && (c.dataset_type != DatasetType::kHf || is_loader_name(c.hf_path))) {
    p.add("hf_data_dir={} names a folder in the data set of hf_path, which is not read here", c.hf_data_dir);
  }
  if (c.dataset_type != DatasetType::kSynthetic) check_columns(c, "train_data_columns", c.train_data_columns, p);
  check_conversations(c, p);
  if (c.eval_interval > 0) check_evaluation_data(c, p);
}

void check_devices(const Config& c, Problems& p) {
  // What other machines have is known when their client is; mesh/ then says the same.
  if (c.hardware != Hardware::kCpu || !c.compile_topology.empty()) return;
  try {
    check_batch_split(c, resolve_mesh(c, c.cpu_device_count));
  } catch (const ConfigError& e) {
    p.add("{}", e.what());
  }
}

// Numbers of a job that is started by keys; job/ knows the cluster's environment.
void check_processes(const Config& c, Problems& p) {
  if (c.process_count > 0 && c.process_index >= c.process_count) {
    p.add("process_index={}: process_index must be 0 to {}, for process_count is {}", c.process_index,
          c.process_count - 1, c.process_count);
  }
}

void check_loading(const Config& c, Problems& p) {
  if (!c.load_parameters_path.empty() && !c.load_full_state_path.empty()) {
    p.add("load_parameters_path and load_full_state_path exclude each other");
  }
  if (!c.load_full_state_path.empty() && !c.enable_checkpointing) {
    p.add("load_full_state_path needs enable_checkpointing=True");
  }
}

void check_decoding(const Config& c, Problems& p) {
  bool topk = c.decode_sampling_strategy == DecodeStrategy::kTopk;
  bool nucleus = c.decode_sampling_strategy == DecodeStrategy::kNucleus;
  bool composite = c.decode_sampling_strategy == DecodeStrategy::kComposite;
  if ((topk || composite) && c.decode_sampling_top_k <= 0) {
    p.add("decode_sampling_strategy={} needs decode_sampling_top_k above 0", name_of(c.decode_sampling_strategy));
  }
  double mass = c.decode_sampling_nucleus_p;
  if ((nucleus || composite) && !(mass > 0 && mass <= 1)) {
    p.add("decode_sampling_strategy={} needs decode_sampling_nucleus_p above 0 and at most 1",
          name_of(c.decode_sampling_strategy));
  }
  if (c.decode_draft != DecodeDraft::kNone && c.decode_sampling_strategy != DecodeStrategy::kGreedy) {
    p.add("decode_draft={} checks guesses against the most probable token: it needs decode_sampling_strategy=greedy",
          name_of(c.decode_draft));
  }
}

}  // namespace

bool is_loader_name(std::string_view hf_path) { return hf_path == "parquet" || hf_path == "json" || hf_path == "text"; }

void check_groups(const Config& config, Problems& problems) {
  int64_t groups = config.n_routing_groups;
  if (groups == 0) return;
  if (config.num_experts % groups != 0) {
    problems.add("n_routing_groups={} does not divide num_experts={}", groups, config.num_experts);
    return;
  }
  int64_t size = config.num_experts / groups;
  if (config.topk_routing_group < 1 || config.topk_routing_group > groups) {
    problems.add("topk_routing_group={} must lie between 1 and n_routing_groups={}", config.topk_routing_group, groups);
  } else if (config.topk_routing_group * size < config.num_experts_per_tok) {
    problems.add("topk_routing_group={} keeps {} experts, fewer than num_experts_per_tok={}", config.topk_routing_group,
                 config.topk_routing_group * size, config.num_experts_per_tok);
  }
  if (config.routing_group_score == GroupScore::kTop2Sum && size < 2) {
    problems.add("n_routing_groups={} leaves one expert a group, which is ranked by its two best", groups);
  }
}

void validate(const Config& config, const ResolveOptions& options, Problems& problems) {
  check_dimensions(config, problems);
  check_attention(config, problems);
  check_experts(config, problems);
  check_indexer(config, problems);
  check_schedule(config, problems);
  check_masks(config, problems);
  check_loop(config, problems);
  check_loading(config, problems);
  check_decoding(config, problems);
  check_devices(config, problems);
  check_processes(config, problems);
  check_sizes(config, problems);
  if (!options.needs_data) return;
  check_data(config, problems);
  if (config.quantize_weights != WeightQuantization::kNone) {
    problems.add("quantize_weights=int8 is for weights that are only read; leave it out to train");
  }
}

}  // namespace fathom
