#include "cli/commands.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/log.h"
#include "cli/conversion_flags.h"
#include "config/keys/keys.h"
#include "session/gpu_memory.h"

namespace fathom {
namespace {

constexpr FlagSpec kTrainFlags[] = {
    {"dump_batch", "FILE", "write the first batch as safetensors and end: what the model would see"},
    {"show_example", "", "print the first row with what is trained marked"},
};
constexpr FlagSpec kTrainCompileFlags[] = {
    {"program", "NAME", "train (default), init, eval, forward, prefill or decode"},
    {"no_compile", "", "stop before the compiler: text, bytes of the state, how every parameter is split"},
    {"text", "FILE", "write the StableHLO text"},
};
constexpr FlagSpec kProfileFlags[] = {
    {"steps", "N", "steps to sample, 10 unless given"},
    {"output", "FILE", "write the profile as JSON as well"},
};
constexpr FlagSpec kVerifyFlags[] = {
    {"only", "A,B", "the checks to run, all that have references unless given"},
    {"scan", "true|false|both", "the form of the layers"},
    {"json", "", "print the result as JSON"},
};
constexpr FlagSpec kTrustFlag = {"trust_remote_code", "[true|false]",
                                 "run model code that Hugging Face's folder brings"};
constexpr FlagSpec kLogitCheckerFlags[] = {
    {"golden_logits_path", "FILE", "JSON lines with tokens and logits; golden_data_<model_name>.jsonl unless given"},
    {"max_kl_div", "X", "pass where the divergence of every token is less; this or atol is needed"},
    {"atol", "X", "pass where every logit is within atol + rtol |golden|"},
    {"rtol", "X", "1e-5 unless given"},
    {"token_size", "N", "compare each prompt's first N tokens alone"},
    {"skip_first_token", "[true|false]", "compare all but the first token"},
    {"clip_logits_epsilon", "P", "raise lower probabilities of both to P before they are compared"},
    {"output_logits_path", "FILE", "write the model's logits in the form of the golden file"},
    {"gcs_output_logits_path", "FILE", "another such file; both may be gs:// and s3://"},
    {"hf_model_path", "FOLDER", "the checkpoint, where load_parameters_path is not given; else for run_hf_model"},
    {"run_hf_model", "[true|false]",
     "make the golden logits first, with the model of hf_model_path (see generate_hf_golden_logits)"},
    kTrustFlag,
    {"ckpt_type", "linen|nnx", "accepted, without effect: a checkpoint's form is seen"},
};
constexpr FlagSpec kGoldenLogitsFlags[] = {
    {"model_id", "FOLDER", "the model, or its name in the Hub's cache: tokenizer, config, weights"},
    {"output_path", "FILE", "where the logits go"},
    {"prompts", "'A;B;C'", "texts, with semicolons between them"},
    {"hf_model_path", "FOLDER", "config and weights, where they are not model_id's own"},
    {"hf_load_dtype", "float32|bfloat16|auto", "type of the weights and of all computation, float32 unless given"},
    {"output_format", "json|pickle", "JSON lines (default), or one pickled list"},
    {"apply_chat_template", "[true|false]", "each prompt is the user's turn of a conversation"},
    kTrustFlag,
};
constexpr FlagSpec kDequantizeFlags[] = {
    {"input_fp8_hf_path", "FOLDER", "the model with float8 (or FP4) weights"},
    {"output_bf16_hf_path", "FOLDER", "where the model in bfloat16 goes"},
    {"input_path", "FOLDER", "another name of input_fp8_hf_path"},
    {"output_path", "FOLDER", "another name of output_bf16_hf_path"},
    {"cache_file_num", "N", "accepted, without effect: no file is held in memory"},
    {"cache_size", "N", "accepted, without effect"},
    kThreadsFlag,
    kCompressionFlag,
};
constexpr FlagSpec kModulesFlag = {"enable_mtp", "[true|false]", "convert the modules for multi-token prediction too"};
constexpr FlagSpec kSaveFlag = {"save_dtype", "bfloat16|float32", "type of what is written, bfloat16 unless given"};
constexpr FlagSpec kDevicesFlag = {"simulated_cpu_devices_count", "N", "accepted, without effect: chunks are small"};
constexpr FlagSpec kLazyFlag = {"lazy_load_tensors", "[true|false]", "accepted, without effect: all is streamed"};
constexpr FlagSpec kEagerFlag = {"eager_load_method", "safetensors|transformers", "accepted, without effect"};
constexpr FlagSpec kToMaxtextFlags[] = {
    {"hf_model_path", "FOLDER", "the weights to convert: a Hugging Face folder (float8 too) or an Orbax checkpoint"},
    kSaveFlag,
    {"revision", "NAME", "accepted, without effect: nothing is downloaded"},
    kEagerFlag,
    kLazyFlag,
    kDevicesFlag,
    kThreadsFlag,
    kCompressionFlag,
};
constexpr FlagSpec kScriptFlags[] = {
    {"base_model_path", "FOLDER", "the weights to convert: a Hugging Face folder (float8 too) or an Orbax checkpoint"},
    {"maxtext_model_path", "FOLDER", "where 0/items goes"},
    {"model_size", "NAME", "the model's name, or auto for the folder's config.json"},
    kModulesFlag,
    kSaveFlag,
    {"use_ocdbt", "[true|false]", "one database (default) or a file for each chunk"},
    {"use_zarr3", "[true|false]", "zarr 3 (default) or 2"},
    kLazyFlag,
    kEagerFlag,
    kDevicesFlag,
    kThreadsFlag,
    kCompressionFlag,
};
constexpr FlagSpec kToHuggingFaceFlags[] = {
    {"hf_model_path", "FOLDER",
     "where config.json and the tokenizer come from, unless they stand beside the checkpoint"},
    {"save_dtype", "bfloat16|float32", "type of what is written, the checkpoint's own unless given"},
    {"override_model_architecture", "[true|false]", "accepted, without effect: the sizes are the configuration's"},
    kLazyFlag,
    kEagerFlag,
    kDevicesFlag,
    kThreadsFlag,
    kCompressionFlag,
};
constexpr std::string_view kConvertKeys =
    "model_name base_output_directory scan_layers param_scan_axis mtp_num_layers use_indexer load_parameters_path";
constexpr FlagSpec kInspectFlags[] = {
    {"json", "", "print one JSON object"},
    {"diff", "", "compare two: names, types, shapes, bytes; exit code 1 where they differ"},
};
constexpr FlagSpec kReportFlags[] = {
    {"output", "FILE", "where the page goes, RUN/report.html unless given"},
};
constexpr FlagSpec kDemoFlags[] = {
    {"prompt", "TEXT", "what to complete; the key `prompt` unless given"},
    {"tokens", "N", "tokens to make, 48 unless given"},
};

constexpr FlagSpec kDecodeFlags[] = {
    {"ids", "", "print the ids of the tokens instead of a text"},
    {"prompt_ids", "1,2,3", "the prompt as tokens, taken as they are"},
    {"prompts", "FILE", "many prompts: a JSON object a line with prompt or prompt_ids, and max_new_tokens; - is stdin"},
    {"output", "FILE", "where their completions go, in the order of the input; stdout unless given"},
    {"ignore_eos", "", "go on behind an end of sentence"},
    {"seed", "N", "of the draws, 1234 unless given"},
};

constexpr FlagSpec kChatFlags[] = {
    {"thinking", "", "let the model think before it answers, where its conversation template can (V3.1, V3.2)"},
    {"system", "TEXT", "what stands at the beginning of the conversation"},
    {"seed", "N", "of the draws, 1234 unless given"},
};
constexpr FlagSpec kMmluFlags[] = {
    {"output", "FILE", "where the scores go, a JSON object a question; the same command again goes on where it ended"},
};

constexpr std::string_view kTrainKeys =
    "model_name dataset_path hf_path tokenizer_path load_parameters_path run_name base_output_directory steps "
    "per_device_batch_size max_target_length gradient_accumulation_steps learning_rate warmup_steps_fraction dtype "
    "remat_policy eval_interval hardware cpu_device_count ici_fsdp_parallelism ici_expert_parallelism "
    "ici_tensor_parallelism";
constexpr std::string_view kProfileKeys =
    "model_name dataset_path hf_path tokenizer_path load_parameters_path per_device_batch_size max_target_length "
    "gradient_accumulation_steps dtype weight_dtype remat_policy attention sparse_matmul scan_layers kernels "
    "cpu_device_count ici_fsdp_parallelism ici_expert_parallelism ici_tensor_parallelism";
constexpr std::string_view kSftUsage = "[configs/post_train/sft.yml] key=value ...";
constexpr std::string_view kSftKeys =
    "model_name load_parameters_path hf_path train_split hf_eval_split hf_data_dir hf_train_files train_data_columns "
    "sft_train_on_completion_only packing tokenizer_path chat_template_path max_target_length per_device_batch_size "
    "steps num_epoch learning_rate eval_interval run_name base_output_directory enable_checkpointing hardware";
constexpr std::string_view kCompileKeys =
    "model_name compile_topology compile_topology_num_slices compiled_trainstep_file per_device_batch_size "
    "max_target_length dtype weight_dtype remat_policy ici_fsdp_parallelism ici_expert_parallelism "
    "ici_tensor_parallelism ici_context_parallelism compile_xla_flags";
constexpr std::string_view kDecodeKeys =
    "model_name load_parameters_path tokenizer_path prompt add_bos max_prefill_predict_length max_target_length "
    "decode_sampling_strategy decode_sampling_temperature decode_sampling_top_k decode_sampling_nucleus_p "
    "quantize_weights decode_draft autoregressive_decode_assert scan_layers per_device_batch_size dtype weight_dtype "
    "hardware cpu_device_count ici_fsdp_parallelism ici_expert_parallelism ici_tensor_parallelism";
constexpr std::string_view kChatKeys =
    "model_name load_parameters_path tokenizer_path chat_template_path max_target_length decode_sampling_strategy "
    "decode_sampling_temperature decode_sampling_top_k decode_sampling_nucleus_p quantize_weights scan_layers dtype "
    "weight_dtype hardware cpu_device_count ici_fsdp_parallelism ici_expert_parallelism ici_tensor_parallelism";
constexpr std::string_view kMmluKeys =
    "model_name load_parameters_path mmlu_path num_shots tokenizer_path add_bos max_target_length "
    "per_device_batch_size quantize_weights scan_layers dtype weight_dtype matmul_precision hardware cpu_device_count "
    "ici_fsdp_parallelism ici_expert_parallelism ici_tensor_parallelism";
constexpr std::string_view kVerifyKeys =
    "hardware cpu_device_count kernels attention sparse_matmul "
    "ici_fsdp_parallelism ici_expert_parallelism ici_tensor_parallelism";

constexpr std::string_view kLogitCheckerKeys =
    "load_parameters_path model_name scan_layers max_target_length dtype weight_dtype matmul_precision attention "
    "sparse_matmul hardware cpu_device_count ici_fsdp_parallelism ici_expert_parallelism ici_tensor_parallelism";

constexpr Command kCommands[] = {
    {"train", run_train, "[configs/base.yml] key=value ...",
     "pre-train on text, from nothing or from the weights of a folder", kTrainFlags, kTrainKeys},
    {"sft", run_train_sft, kSftUsage,
     "fine-tune on conversations: train with configs/post_train/sft.yml, which sets keys of data and loss", kTrainFlags,
     kSftKeys, kSftConfig},
    {"train_sft", run_train_sft, kSftUsage, "another name of sft", kTrainFlags, kSftKeys, kSftConfig},
    {"train_sft_native", run_train_sft, kSftUsage, "another name of sft", kTrainFlags, kSftKeys, kSftConfig},
    {"train_sft_deprecated", run_train_sft, kSftUsage, "another name of sft", kTrainFlags, kSftKeys, kSftConfig},
    {"train_compile", run_train_compile, "[configs/base.yml] compile_topology=v5p-256 key=value ...",
     "compile a program for a machine that is not here: what it costs, whether it fits", kTrainCompileFlags,
     kCompileKeys},
    {"profile", run_profile, "[configs/base.yml] key=value ...",
     "run train steps and show where their time goes, by layer and by operation", kProfileFlags, kProfileKeys},
    {"decode", run_decode, "[configs/base.yml] load_parameters_path=FOLDER key=value ...",
     "complete prompts with any checkpoint", kDecodeFlags, kDecodeKeys},
    {"chat", run_chat, "[configs/base.yml] load_parameters_path=FOLDER key=value ... [--thinking] [--system=TEXT]",
     "hold a conversation with a model on the terminal, or a turn for each line of stdin", kChatFlags, kChatKeys},
    {"mmlu", run_mmlu_command,
     "[configs/base.yml] load_parameters_path=FOLDER mmlu_path=FOLDER num_shots=N key=value ... --output=FILE",
     "answer multiple-choice questions: the accuracy of each subject, each category and all", kMmluFlags, kMmluKeys},
    {"verify", run_verify, "FOLDER [key=value ...]",
     "compare with the references that a model or tokenizer folder holds", kVerifyFlags, kVerifyKeys},
    {"forward_pass_logit_checker", run_logit_checker,
     "[configs/base.yml] load_parameters_path=FOLDER key=value ... --golden_logits_path=FILE --max_kl_div=X",
     "compare a checkpoint's logits with golden ones, by divergence or difference: PASS or FAIL", kLogitCheckerFlags,
     kLogitCheckerKeys},
    {"generate_hf_golden_logits", run_generate_golden_logits, "--model-id=FOLDER --output-path=FILE --prompts='A;B;C'",
     "write golden logits, computed by Hugging Face's transformers (needs Python, torch, transformers)",
     kGoldenLogitsFlags},
    {"demo", run_demo, "[configs/base.yml] key=value ...", "train, then complete a prompt greedily", kDemoFlags,
     kTrainKeys},
    {"deepseek_fp8_to_bf16", run_dequantize, "--input-fp8-hf-path=FOLDER --output-bf16-hf-path=FOLDER",
     "write a Hugging Face folder with float8 weights as one in bfloat16", kDequantizeFlags},
    {"deepseek_dequantize", run_dequantize, "--input-path=FOLDER --output-path=FOLDER",
     "another name of deepseek_fp8_to_bf16", kDequantizeFlags},
    {"to_maxtext", run_to_maxtext, "[configs/base.yml] base_output_directory=OUT --hf_model_path=FOLDER key=value ...",
     "write weights as a checkpoint in MaxText's form: OUT/0/items", kToMaxtextFlags, kConvertKeys},
    {"convert_deepseek_family_ckpt", run_convert_scanned,
     "--base_model_path=FOLDER --maxtext_model_path=OUT --model_size=NAME",
     "to_maxtext with the flags of MaxText's script; layers stacked, for training", kScriptFlags},
    {"convert_deepseek_family_unscanned_ckpt", run_convert_unscanned,
     "--base_model_path=FOLDER --maxtext_model_path=OUT --model_size=NAME",
     "the same script's other form: each layer by itself, for decoding", kScriptFlags},
    {"to_huggingface", run_to_hugging_face,
     "[configs/base.yml] load_parameters_path=FOLDER base_output_directory=OUT key=value ...",
     "write weights as a Hugging Face folder", kToHuggingFaceFlags, kConvertKeys},
    {"inspect", run_inspect, "PATH | --diff A B",
     "list what a checkpoint holds (Hugging Face, a .safetensors file, Orbax), from its headers", kInspectFlags},
    {"report", run_report, "RUN", "show a run as one HTML page: losses, speed, load of experts, evaluation, keys",
     kReportFlags},
    {"keys", run_keys, "[WORD ...]",
     "print the configuration keys, all or those that match, with type, default and class"},
    {"completion", run_completion, "bash|zsh",
     "print a script that completes commands, flags and keys: source <(fathom completion bash)"},
};

// The peer's commands that have no place here yet.
constexpr std::string_view kNotBuilt[] = {"generate_param_only_checkpoint", "train_dpo", "train_rl", "train_distill"};

const Command* find_command(std::string_view name) {
  auto found = std::ranges::find(kCommands, name, &Command::name);
  return found == std::end(kCommands) ? nullptr : found;
}

[[noreturn]] void fail_unknown(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& c : kCommands) names.emplace_back(c.name);
  std::string there = fmt::format("there are {} (fathom --help)", fmt::join(names, ", "));
  if (std::ranges::find(kNotBuilt, name) != std::end(kNotBuilt)) {
    throw ConfigError(fmt::format("the command {} is not built; {}", name, there));
  }
  std::vector<std::string> near = nearest_names(name, names);
  throw ConfigError(fmt::format("unknown command '{}'{}; {}", name,
                                near.empty() ? "" : fmt::format(" (nearest: {})", fmt::join(near, ", ")), there));
}

// What is asked without a command: nothing, help or the version.
int run_without_command(std::span<const std::string> args) {
  for (const std::string& flag : args) {
    if (flag == "--version") {
      std::fputs(version_text().c_str(), stdout);
      return 0;
    }
    if (flag != "-h" && flag != "--help") {
      throw ConfigError(fmt::format("unknown flag {} without a command: fathom --help, fathom --version", flag));
    }
  }
  std::fputs(general_help().c_str(), stdout);
  return args.empty() ? kExitUserMistake : 0;
}

// `fathom help [COMMAND]`.
int run_help(std::span<const std::string> args) {
  std::string about = args.size() > 1 ? command_of(args.subspan(1)) : "";
  if (about.empty()) {
    std::fputs(general_help().c_str(), stdout);
    return 0;
  }
  const Command* command = find_command(about);
  if (command == nullptr) fail_unknown(about);
  std::fputs(command_help(*command).c_str(), stdout);
  return 0;
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

Config command_config(std::span<const std::string> words, const Environment& environment, ResolveOptions options) {
  options.check_environment = check_gpu_memory;
  Resolved resolved = resolve_config(words, environment, options);
  for (const std::string& notice : resolved.notices) log_info("{}", notice);
  if (resolved.config.log_config) {
    for (const KeySource& s : resolved.sources) log_info("Config param {}: {} ({})", s.key, s.value, s.origin);
  }
  return std::move(resolved.config);
}

int run_command(std::span<const std::string> args, const Environment& environment) {
  std::string name = command_of(args);
  if (name.empty()) return run_without_command(args);
  if (name == "help") return run_help(args);
  const Command* command = find_command(name);
  if (command == nullptr) fail_unknown(name);
  CommandLine line = parse_command_line(args, command->flags);
  if (!line.flags.contains("help")) return command->run(line, environment);
  std::fputs(command_help(*command).c_str(), stdout);
  return 0;
}

}  // namespace fathom
