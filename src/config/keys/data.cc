// Keys of data sets, packing and tokenizers.
#include "config/keys/binding.h"
#include "config/keys/key_tables.h"
#include "config/keys/ranges.h"

namespace fathom {

namespace {

using enum KeyClass;
using enum KeyType;

constexpr std::string_view kSubset = "name the files of a subset by hf_train_files";
constexpr std::string_view kCorpus = "training a tokenizer belongs to the peer's tools";
constexpr std::string_view kColocated = "where the peer runs its loader";
constexpr std::string_view kPipeline = "belongs to data pipelines of the peer that are not built";
constexpr std::string_view kGrain = "the grain pipeline is not built: name the files by dataset_path";
constexpr std::string_view kOlmo = "the OLMo pipeline is not built";
constexpr std::string_view kMmap = "the mmap pipeline is not built";

// Only the first is built; the others are refused where a tokenizer is needed.
constexpr std::string_view kTokenizerTypes[] = {"huggingface", "sentencepiece", "tiktoken"};

constexpr KeyBinding kTokenizerType = {
    .type = KeyType::kChoice,
    .set = [](Config& config, const KeyValue& value) { config.tokenizer_type = std::get<std::string>(value); },
    .get = [](const Config& config) -> KeyValue { return config.tokenizer_type; },
    .choices = [] { return std::span<const std::string_view>(kTokenizerTypes); },
};

constexpr KeyRow kRows[] = {
    {"dataset_type", bind<&Config::dataset_type>, "", kBuilt,
     "`synthetic`, `files` (dataset_path), `tfds` (dataset_path, dataset_name), `hf` (hf_path); when empty, from the "
     "path "
     "that is given"},
    {"dataset_path", bind<&Config::dataset_path>, "", kBuilt,
     "file, folder or pattern of .txt, .jsonl (either also packed: .gz, .zst) or .parquet, or a folder of TensorFlow "
     "Datasets"},
    {"dataset_name", bind<&Config::dataset_name>, "c4/en:3.1.0", kBuilt,
     "data set, configuration and version below a folder of TensorFlow Datasets; the newest version when none is "
     "named"},
    {"eval_dataset_name", bind<&Config::eval_dataset_name>, "c4/en:3.1.0", kBuilt,
     "the same for evaluation; dataset_name unless given"},
    {"hf_path", bind<&Config::hf_path>, "", kBuilt,
     "file, folder, or data set in the Hub's cache; `parquet`, `json` or `text` with hf_train_files"},
    {"hf_data_dir", bind<&Config::hf_data_dir>, "", kBuilt, "folder of the data in hf_path"},
    {"hf_train_files", bind<&Config::hf_train_files>, "", kBuilt, "training files"},
    {"hf_eval_files", bind<&Config::hf_eval_files>, "", kBuilt, "evaluation files"},
    {"hf_eval_split", bind<&Config::hf_eval_split>, "", kBuilt, "split for evaluation"},
    {"train_split", bind<&Config::train_split>, "train", kBuilt, "split for training"},
    {"eval_split", bind<&Config::eval_split>, "validation", kBuilt, "split for evaluation"},
    {"train_data_columns", bind<&Config::train_data_columns>, "[text]", kBuilt,
     "column of the training text; `tokens` with tokenize_train_data=False, `messages` with use_sft"},
    {"eval_data_columns", bind<&Config::eval_data_columns>, "[text]", kBuilt,
     "column of the evaluation text; `tokens` with tokenize_eval_data=False, `messages` with use_sft"},
    {"tokenize_train_data", bind<&Config::tokenize_train_data>, "true", kBuilt,
     "false: the column holds lists of token ids (JSONL, parquet); no tokenizer is needed, nothing is added to a list"},
    {"tokenize_eval_data", bind<&Config::tokenize_eval_data>, "true", kBuilt, "the same for the evaluation data"},
    {"skip_bad_records", bind<&Config::skip_bad_records>, "false", kBuilt,
     "a record that cannot be read (no JSON, no such column, not UTF-8) is left out and counted, not an error"},
    {"packing", bind<&Config::packing>, "true", kBuilt, "several documents in a row, each attending to itself"},
    {"generate_padding_batch_train", bind<&Config::generate_padding_batch_train>, "false", kBuilt,
     "a last batch with empty rows is filled with padding instead of dropped"},
    {"generate_padding_batch_eval", bind<&Config::generate_padding_batch_eval>, "false", kBuilt,
     "the same for the evaluation data"},
    {"max_segments_per_seq", bind<&Config::max_segments_per_seq>, "-1", kBuilt,
     "most documents in a row; -1 = any number", kCountOrMinusOne},
    {"add_bos", bind<&Config::add_bos>, "true", kBuilt, "begin-of-sentence token before each document"},
    {"add_eos", bind<&Config::add_eos>, "true", kBuilt, "end-of-sentence token after each document"},
    {"enable_data_shuffling", bind<&Config::enable_data_shuffling>, "true", kBuilt,
     "documents in an order drawn from data_shuffle_seed"},
    {"data_shuffle_seed", bind<&Config::data_shuffle_seed>, "0", kBuilt, "seed of that order, and of synthetic data"},
    {"num_epoch", bind<&Config::num_epoch>, "1", kBuilt, "passes over the data", kSize},
    {"tokenizer_path", bind<&Config::tokenizer_path>, "", kBuilt,
     "folder with tokenizer.json, or a name in the Hub's cache; when empty the model folder's"},
    {"tokenizer_type", kTokenizerType, "huggingface", kBuilt, "`huggingface`: tokenizer.json"},
    {"use_sft", bind<&Config::use_sft>, "false", kBuilt,
     "fine-tuning: the data are conversations (JSONL, parquet) in the columns messages, prompt and completion, or "
     "question and answer"},
    {"sft_train_on_completion_only", bind<&Config::sft_train_on_completion_only>, "false", kBuilt,
     "the loss counts what assistants say alone, otherwise every token of a conversation"},
    {"use_chat_template", kBool, "false", kIgnored,
     "conversations of use_sft are always written by the template, prompts of decode never"},
    {"chat_template", bind<&Config::chat_template>, "", kBuilt,
     "the template of conversations itself, in Jinja; when empty the tokenizer folder's own"},
    {"chat_template_path", bind<&Config::chat_template_path>, "", kBuilt,
     "a file with that template, a JSON file that has it as chat_template, or a folder with templates"},
    {"hf_access_token", kString, "", kIgnored, "never printed, logged or written; nothing is downloaded"},
    {"hf_name", kString, "", kRefused, kSubset},
    {"max_corpus_chars", kInt, "10000000", kIgnored, kCorpus},
    {"colocated_python_data_input", kBool, "false", kIgnored, kColocated},
    {"expansion_factor_real_data", kFloat, "-1.0", kRefused, kPipeline},
    {"train_shard_in_read", kBool, "false", kRefused, kPipeline},
    {"train_interleave_cycle_length", kInt, "-1", kRefused, kPipeline},
    {"use_stream_chunking", kOptBool, "null", kRefused, kPipeline},
    {"use_truncation", kBool, "true", kRefused, kPipeline},
    {"data_template_path", kString, "", kRefused, kPipeline},
    {"default_prompt", kString, "", kRefused, kPipeline},
    {"grain_train_files", kString, "", kRefused, kGrain},
    {"grain_eval_files", kString, "", kRefused, kGrain},
    {"grain_train_mixture_config_path", kString, "", kRefused, kGrain},
    {"grain_file_type", kString, "arrayrecord", kRefused, kGrain},
    {"grain_use_elastic_iterator", kBool, "false", kRefused, kGrain},
    {"grain_worker_count", kInt, "1", kRefused, kGrain},
    {"grain_per_worker_buffer_size", kInt, "1", kRefused, kGrain},
    {"grain_worker_count_eval", kInt, "1", kRefused, kGrain},
    {"grain_per_worker_buffer_size_eval", kInt, "1", kRefused, kGrain},
    {"grain_ram_budget_mb", kInt, "1024", kRefused, kGrain},
    {"grain_num_threads", kInt, "16", kRefused, kGrain},
    {"grain_prefetch_buffer_size", kInt, "500", kRefused, kGrain},
    {"grain_num_threads_eval", kInt, "16", kRefused, kGrain},
    {"grain_prefetch_buffer_size_eval", kInt, "500", kRefused, kGrain},
    {"grain_data_source_max_workers", kInt, "16", kRefused, kGrain},
    {"grain_shuffle_buffer_size", kInt, "100", kRefused, kGrain},
    {"grain_index_storage_option", kString, "", kRefused, kGrain},
    {"grain_packing_type", kString, "first_fit", kRefused, kGrain},
    {"olmo_index_path", kString, "", kRefused, kOlmo},
    {"olmo_path_remap_from", kString, "", kRefused, kOlmo},
    {"olmo_path_remap_to", kString, "", kRefused, kOlmo},
    {"olmo_apply_ngram_filter", kBool, "true", kRefused, kOlmo},
    {"mmap_eod_id", kInt, "0", kRefused, kMmap},
    {"blend_cache_dir", kString, "", kRefused, kMmap},
    {"blend_index_dir", kString, "", kRefused, kMmap},
    {"reset_attention_mask", kBool, "true", kRefused, kMmap},
    {"eod_mask_loss", kBool, "false", kRefused, kMmap},
    {"packing_max_segments_per_sample", kInt, "25", kRefused, kMmap},
    {"mmap_split_sentences", kBool, "false", kRefused, kMmap},
    {"mmap_npy_split", kString, "", kRefused, kMmap},
};

}  // namespace

KeyGroup data_keys() { return {"Data and tokenizer", kRows}; }

}  // namespace fathom
