#include "drive/summary.h"

#include <fmt/format.h>

#include "base/counted.h"
#include "mesh/batch_sizes.h"

namespace fathom {

namespace {

std::string count(int64_t n) {
  double value = static_cast<double>(n);
  if (value >= 1e9) return fmt::format("{:.2f} billion", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.1f} million", value / 1e6);
  return fmt::format("{}", n);
}

std::string model_line(const Config& c, const SummaryFacts& facts) {
  std::string line = fmt::format("{}: {} layers ({} dense), width {}, {} heads, {} experts, {} chosen, {} shared",
                                 c.model_name, c.num_decoder_layers, c.first_num_dense_layers, c.emb_dim,
                                 c.num_query_heads, c.num_experts, c.num_experts_per_tok, c.shared_experts);
  if (facts.parameters > 0) line += fmt::format("; {} parameters", count(facts.parameters));
  return line;
}

std::string mesh_text(const DeviceMesh& mesh) {
  std::string out;
  for (const Axis& axis : mesh.mesh.axes) out += fmt::format("{}{}={}", out.empty() ? "" : " x ", axis.name, axis.size);
  return out.empty() ? "one device" : out;
}

std::string data_text(const Config& c) {
  switch (c.dataset_type) {
    case DatasetType::kSynthetic:
      return "synthetic (random tokens)";
    case DatasetType::kHf:
      return c.hf_train_files.empty() ? c.hf_path : c.hf_train_files;
    case DatasetType::kFiles:
    case DatasetType::kTfds:
      break;
  }
  return c.dataset_path;
}

std::string batch_text(const Config& c, const DeviceMesh& mesh) {
  BatchSizes batch = resolve_batch(c, mesh.devices());
  std::string out = fmt::format("{} of {} tokens a step", counted(batch.to_train, "row"), c.max_target_length);
  if (c.gradient_accumulation_steps > 1) out += fmt::format(", in {} micro-batches", c.gradient_accumulation_steps);
  return out;
}

std::string schedule_text(const Config& c) {
  std::string out = fmt::format("{} steps, {} at {} ({})", c.steps, name_of(c.opt_type), c.learning_rate,
                                name_of(c.lr_schedule_type));
  if (c.opt_type == OptType::kAdamw) out += fmt::format(", weight decay {}", c.adam_weight_decay);
  return out;
}

// Nothing where nothing keeps the experts in balance.
std::string balance_text(const Config& c) {
  std::string out;
  if (c.load_balance_loss_weight > 0) {
    const bool report = c.moe_use_megatron_seq_aux_loss && c.routed_score_func == ScoreFunc::kSigmoid;
    out = fmt::format("loss of weight {}, {}", c.load_balance_loss_weight,
                      report ? "the V3 report's, of each sequence, summed over layers" : "mean over layers");
  }
  if (c.routed_bias_update_rate > 0) {
    out += fmt::format("{}router's bias moved by {} a step", out.empty() ? "" : "; ", c.routed_bias_update_rate);
  }
  return out;
}

// What the indexer does in this run; nothing where there is none.
std::string indexer_text(const Config& c) {
  if (!c.use_indexer) return {};
  if (c.max_target_length <= c.indexer_topk) return "keeps every key: rows are no longer than indexer_topk";
  std::string out = fmt::format("keeps {} keys of {}", c.indexer_topk, c.max_target_length);
  if (c.indexer_dense_warmup) {
    return out + fmt::format("; dense warm-up: it learns alone, attention {}", name_of(c.indexer_warmup_attention));
  }
  if (c.indexer_loss_scaling_factor > 0) return out + "; sparse stage: it learns beside the model";
  return out + "; it does not learn (indexer_loss_scaling_factor=0)";
}

// Nothing without modules for multi-token prediction.
std::string prediction_text(const Config& c) {
  if (c.mtp_num_layers == 0) return {};
  return fmt::format("{}, loss of weight {}, variant {}", counted(c.mtp_num_layers, "module"),
                     c.mtp_loss_scaling_factor, name_of(c.mtp_variant));
}

}  // namespace

std::string dense_experts_text(const Config& c) {
  const bool dense = !c.sparse_matmul && c.capacity_factor <= 0 && c.num_experts_per_tok < c.num_experts;
  if (!dense) return {};
  const double times = static_cast<double>(c.num_experts) / static_cast<double>(c.num_experts_per_tok);
  return fmt::format(
      "sparse_matmul=False multiplies every token by all {} experts, of which {} are chosen: {:.3g} times the products "
      "needed; sparse_matmul=True gives the same numbers for those alone",
      c.num_experts, c.num_experts_per_tok, times);
}

std::string summarize(const Config& c, const DeviceMesh& mesh, const SummaryFacts& facts) {
  std::string device =
      facts.device.empty() ? fmt::format("{} x {}", name_of(c.hardware), mesh.devices()) : facts.device;
  std::string out;
  auto line = [&](std::string_view title, std::string_view text) { out += fmt::format("{:<10} {}\n", title, text); };
  line("model", model_line(c, facts));
  line("devices", fmt::format("{}; {}", device, mesh_text(mesh)));
  line("batch", batch_text(c, mesh));
  line("training", schedule_text(c));
  if (const std::string experts = dense_experts_text(c); !experts.empty()) line("experts", experts);
  if (const std::string balance = balance_text(c); !balance.empty()) line("balance", balance);
  if (const std::string indexer = indexer_text(c); !indexer.empty()) line("indexer", indexer);
  if (const std::string prediction = prediction_text(c); !prediction.empty()) line("prediction", prediction);
  line("numbers", fmt::format("activations {}, parameters {}, products {}", name(c.dtype), name(c.weight_dtype),
                              name_of(c.matmul_precision)));
  line("layers", fmt::format("{}, remat {}, attention {}", c.scan_layers ? "scanned" : "unrolled",
                             name_of(c.remat_policy), name_of(c.attention)));
  line("data", data_text(c));
  if (!c.tokenizer_path.empty()) line("tokenizer", c.tokenizer_path);
  if (!c.load_parameters_path.empty()) line("weights", c.load_parameters_path);
  line("output", c.run_directory);
  return out;
}

}  // namespace fathom
