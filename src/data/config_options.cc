#include "data/config_options.h"

#include <fmt/ranges.h>

#include <optional>

#include "base/log.h"
#include "data/documents.h"
#include "storage/file_store.h"

namespace fathom {

namespace {

// The peer's loaders, which hf_path may name instead of a data set.
std::optional<DatasetKind> loader_of(const Config& config) {
  if (config.dataset_type != DatasetType::kHf) return std::nullopt;
  if (config.hf_path == "json") return DatasetKind::kJsonl;
  if (config.hf_path == "text") return DatasetKind::kLines;
  if (config.hf_path == "parquet") return DatasetKind::kParquet;
  return std::nullopt;
}

// Such a data set must have the split that is named.
bool is_tfds(const DataOptions& options) {
  const DatasetQuery query{
      .tfds_name = options.tfds_name, .tfds_name_key = options.tfds_name_key, .tfds_required = options.tfds_required};
  return tfds_folder(options.path, options.path_key, query).has_value();
}

// What both kinds of stream share; path and column are the training data's.
DataOptions common_options(const Config& config, const BatchShare& share) {
  DataOptions options;
  options.synthetic = config.dataset_type == DatasetType::kSynthetic;
  options.path = config.dataset_path;
  options.path_key = "dataset_path";
  if (config.dataset_type == DatasetType::kHf) {
    bool files = !config.hf_train_files.empty();
    const std::string& folder = config.hf_data_dir;
    const std::string path = folder.empty() ? config.hf_path : join_path(config.hf_path, folder);
    options.path = files ? config.hf_train_files : path;
    options.path_key = files ? "hf_train_files" : "hf_path";
  }
  options.split = config.train_split;
  options.tfds_required = config.dataset_type == DatasetType::kTfds;
  if (config.dataset_type == DatasetType::kTfds || config.dataset_type == DatasetType::kFiles) {
    options.tfds_name = config.dataset_name;
  }
  options.loader = loader_of(config);
  options.skip_bad_records = config.skip_bad_records;
  options.rows = share.rows;
  options.length = config.max_target_length;
  options.vocab_size = config.vocab_size;
  options.packing = config.packing;
  options.peer_rules = config.defaults == DefaultsKind::kMaxtext;
  options.max_segments = config.max_segments_per_seq;
  options.add_bos = config.add_bos;
  options.add_eos = config.add_eos;
  options.seed = static_cast<uint64_t>(config.data_shuffle_seed);
  options.process_index = share.process_index;
  options.process_count = share.process_count;
  return options;
}

// The columns, and what they hold.
void set_columns(const Config& config, const std::vector<std::string>& columns, bool tokenize, DataOptions& options) {
  options.column = columns.at(0);
  if (config.use_sft) {
    options.content = DocumentContent::kConversations;
    if (columns.size() == 2) options.answer_column = columns[1];
  } else if (!tokenize) {
    options.content = DocumentContent::kTokenIds;
  }
}

}  // namespace

DataOptions train_data_options(const Config& config, const BatchShare& share) {
  DataOptions options = common_options(config, share);
  if (options.synthetic) return options;
  set_columns(config, config.train_data_columns, config.tokenize_train_data, options);
  options.shuffle = config.enable_data_shuffling;
  options.num_epoch = config.num_epoch;
  options.pad_last_batch = config.generate_padding_batch_train;
  return options;
}

std::shared_ptr<const ChatFormat> chat_format(const Config& config) {
  using enum ChatFormat::WithoutTemplate;
  const GivenTemplate given{.path = config.chat_template_path, .text = config.chat_template};
  return ChatFormat::load(config.tokenizer_path, given, config.use_indexer ? kV32 : kByModelType);
}

// An evaluation on what is trained on must not pass in silence.
void warn_of_training_data(const std::string& key, const std::string& value) {
  log_warning("{}={}: is what is trained on; the evaluation says nothing of other data", key, value);
}

DataOptions eval_data_options(const Config& config, const BatchShare& share) {
  DataOptions options = common_options(config, share);
  options.shuffle = false;
  options.num_epoch = 1;
  options.max_batches = config.eval_steps;
  options.pad_last_batch = config.generate_padding_batch_eval;
  if (options.synthetic) return options;
  set_columns(config, config.eval_data_columns, config.tokenize_eval_data, options);
  if (!config.hf_eval_files.empty()) {
    if (config.hf_eval_files == options.path) warn_of_training_data("hf_eval_files", config.hf_eval_files);
    options.path = config.hf_eval_files;
    options.path_key = "hf_eval_files";
    options.split.clear();
    options.tfds_name.clear();
    options.tfds_required = false;
    return options;
  }
  bool hf = config.dataset_type == DatasetType::kHf;
  std::string split = hf && !config.hf_eval_split.empty() ? config.hf_eval_split : config.eval_split;
  const bool of_training = options.tfds_name.empty() || options.tfds_name == config.eval_dataset_name;
  if (!options.tfds_name.empty()) options.tfds_name = config.eval_dataset_name;
  options.tfds_name_key = "eval_dataset_name";
  options.split_key = "eval_split";
  if (is_tfds(options) || has_split(options.path, split)) {
    if (split == options.split && of_training) {
      warn_of_training_data(hf && !config.hf_eval_split.empty() ? "hf_eval_split" : "eval_split", split);
    }
    options.split = split;
  } else {
    const std::vector<std::string> there = splits_of(options.path);
    log_warning(
        "no evaluation data is named (hf_eval_files) and {}={} has no split '{}'{}: evaluating on the training data",
        options.path_key, options.path, split,
        there.empty() ? "" : fmt::format(" (it has {})", fmt::join(there, ", ")));
  }
  return options;
}

}  // namespace fathom
