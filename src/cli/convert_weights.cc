// Weights between the form of Hugging Face and MaxText's: to_maxtext, the two scripts convert_deepseek_family_ckpt and
// ..._unscanned_ckpt, and to_huggingface.
#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel_for.h"
#include "cli/commands.h"
#include "cli/conversion_flags.h"
#include "cli/weights_folder.h"
#include "config/resolve/hf_config_text.h"
#include "convert/source_folder.h"
#include "convert/to_hugging_face.h"
#include "convert/to_orbax.h"
#include "convert/weight_source.h"
#include "model/params.h"
#include "storage/file_store.h"
#include "storage/hub.h"

namespace fathom {
namespace {

// What a conversion is about, once the words are read.
struct Job {
  std::string command;
  std::string from;  // a folder of weights of any form
  std::string to;    // base_output_directory
  Config config;
  ConversionOptions options;
  DType dtype = DType::kBF16;
  bool ocdbt = true, zarr3 = true;
};

// Words that a configuration needs and a conversion has no use for; the user's own come behind them and win.
constexpr std::array<std::string_view, 2> kUnused = {"run_name=convert", "steps=1"};

std::vector<std::string> words_of(const CommandLine& line) {
  std::vector<std::string> words;
  for (const std::string& word : line.config) {
    if (word.find('=') == std::string::npos) words.push_back(word);  // the configuration file stands first
  }
  words.insert(words.end(), kUnused.begin(), kUnused.end());
  for (const std::string& word : line.config) {
    if (word.find('=') != std::string::npos) words.push_back(word);
  }
  return words;
}

DType save_dtype(const CommandLine& line, DType otherwise) {
  const std::optional<std::string> value = line.flag("save_dtype");
  if (!value) return otherwise;
  if (*value == "bfloat16") return DType::kBF16;
  if (*value == "float32") return DType::kF32;
  throw ConfigError(fmt::format("{}: --save_dtype={}: float32 or bfloat16", line.command, *value));
}

// The modules for prediction that are converted: those the folder holds, unless the user says how many.
void choose_modules(Job& job, bool chosen) {
  const int64_t there = prediction_modules(job.from);
  if (!chosen) job.config.mtp_num_layers = there;
  if (there > job.config.mtp_num_layers) {
    log_info("{}: {} of its {} modules for multi-token prediction are left off", job.from,
             there - job.config.mtp_num_layers, there);
  }
}

void resolve(Job& job, const std::vector<std::string>& words, const Environment& environment) {
  job.from = newest_weights(find_in_hub("load_parameters_path", job.from, HubKind::kModel, environment));
  job.config = command_config(words, environment, {.needs_data = false, .model_folder = job.from});
}

CompanionCopy companions(const Job& job, const std::string& from, const std::string& to) {
  return {.from = from,
          .to = to,
          .dtype = job.dtype,
          .modules = job.config.mtp_num_layers,
          .made_config = hf_config_text(job.config, job.dtype)};
}

int write_maxtext(const Job& job) {
  ThreadLimit threads(job.options.threads);
  ModelConfig model = model_config(job.config);
  model.weight_dtype = job.dtype;
  const std::vector<Param> table = param_table(model);
  const std::vector<ParamArray> arrays = param_arrays(model, table);
  const WantedWeights wanted{
      .config = model, .table = table, .arrays = arrays, .scan_axis = job.config.param_scan_axis};
  const auto source = open_weights(job.from, wanted);
  ToOrbax to{.step_folder = join_path(job.to, "0"),
             .ocdbt = job.ocdbt,
             .zarr3 = job.zarr3,
             .compress = job.options.compress,
             .source = source_identity(job.from, /*times=*/true)};
  to.beside = [&](const std::string& folder) { copy_companions(companions(job, job.from, folder)); };
  require_free_space(job.to, estimated_orbax_bytes(*source, wanted, to) - bytes_under(to.step_folder + ".partial"));
  ConversionProgress progress(job.command, 2 * orbax_bytes(wanted));
  write_orbax(*source, wanted, to, progress);
  progress.finish();
  log_info("load_parameters_path={}/items takes it", to.step_folder);
  return 0;
}

int write_folder(const Job& job, const std::string& home) {
  ThreadLimit threads(job.options.threads);
  ModelConfig model = model_config(job.config);
  model.weight_dtype = job.dtype;
  const std::vector<Param> table = param_table(model);
  const std::vector<ParamArray> arrays = hugging_face_arrays(model, table, job.dtype);
  const WantedWeights wanted{
      .config = model, .table = table, .arrays = arrays, .scan_axis = job.config.param_scan_axis};
  const auto source = open_weights(job.from, wanted);
  ToHuggingFace to(wanted, job.to, source_identity(job.from, /*times=*/true));
  require_free_space(job.to, to.bytes_to_write());
  ConversionProgress progress(job.command, 2 * to.bytes());
  to.write(*source, progress);
  copy_companions(companions(job, home, job.to));
  to.write_index();
  progress.finish();
  return 0;
}

// Flags of the peer's that say how its own reading goes.
void check_accepted_flags(const CommandLine& line) {
  line.truth_flag("lazy_load_tensors", true);
  line.count_flag("simulated_cpu_devices_count", 1);
  const std::string method = line.flag("eager_load_method").value_or("safetensors");
  if (method != "safetensors" && method != "transformers") {
    throw ConfigError(fmt::format("{}: --eager_load_method={}: safetensors or transformers", line.command, method));
  }
}

// The Hub's names of released models, for the conversion of one that is in its cache.
std::string released_folder(const std::string& model_name) {
  constexpr std::pair<std::string_view, std::string_view> kReleases[] = {
      {"deepseek2-16b", "deepseek-ai/DeepSeek-V2-Lite"},
      {"deepseek2-236b", "deepseek-ai/DeepSeek-V2"},
      {"deepseek3-671b", "deepseek-ai/DeepSeek-V3"},
      {"deepseek3.2-671b", "deepseek-ai/DeepSeek-V3.2"}};
  for (const auto& [model, folder] : kReleases) {
    if (model == model_name) return std::string(folder);
  }
  return "";
}

// One of the two scripts; they take flags alone.
int run_script(const CommandLine& line, const Environment& environment, bool scan) {
  if (!line.config.empty() || !line.words.empty()) {
    const std::string& word = line.config.empty() ? line.words[0] : line.config[0];
    throw ConfigError(
        fmt::format("{}: '{}' is no flag: --base_model_path=FOLDER --maxtext_model_path=FOLDER "
                    "--model_size=NAME",
                    line.command, word));
  }
  check_accepted_flags(line);
  const std::string size = line.required_flag("model_size", "the model's name, or auto for the folder's config.json");
  Job job{.command = line.command,
          .from = line.required_flag("base_model_path", "the folder to read"),
          .to = line.required_flag("maxtext_model_path", "the folder to write"),
          .config = {},
          .options = conversion_options(line),
          .dtype = save_dtype(line, DType::kBF16),
          .ocdbt = line.truth_flag("use_ocdbt", true),
          .zarr3 = line.truth_flag("use_zarr3", true)};
  const bool modules = line.truth_flag("enable_mtp", false);
  require_other_place(job.from, job.to);
  std::vector<std::string> words(kUnused.begin(), kUnused.end());
  words.push_back("model_name=" + size);
  words.push_back(fmt::format("scan_layers={}", scan));
  resolve(job, words, environment);
  if (modules && prediction_modules(job.from) == 0) {
    throw ConfigError(
        fmt::format("{}: --enable_mtp: {} holds no module for multi-token prediction", line.command, job.from));
  }
  choose_modules(job, !modules);
  return write_maxtext(job);
}

}  // namespace

int run_to_maxtext(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  check_accepted_flags(line);
  const std::string model = line.key("model_name").value_or("");
  const std::string folder = line.key("load_parameters_path").value_or(released_folder(model));
  Job job{.command = line.command,
          .from = line.flag("hf_model_path").value_or(folder),
          .to = line.key("base_output_directory").value_or(""),
          .config = {},
          .options = conversion_options(line),
          .dtype = save_dtype(line, DType::kBF16)};
  if (job.from.empty()) throw ConfigError("to_maxtext: --hf_model_path=FOLDER is needed: the weights to convert");
  if (job.to.empty()) throw ConfigError("to_maxtext: base_output_directory=FOLDER is needed: OUT/0/items is written");
  require_other_place(job.from, job.to);
  resolve(job, words_of(line), environment);
  choose_modules(job, line.key("mtp_num_layers").has_value());
  return write_maxtext(job);
}

int run_convert_scanned(const CommandLine& line, const Environment& environment) {
  return run_script(line, environment, true);
}
int run_convert_unscanned(const CommandLine& line, const Environment& environment) {
  return run_script(line, environment, false);
}

int run_to_hugging_face(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  check_accepted_flags(line);
  Job job{.command = line.command,
          .from = line.key("load_parameters_path").value_or(""),
          .to = line.key("base_output_directory").value_or(""),
          .config = {},
          .options = conversion_options(line)};
  if (job.from.empty())
    throw ConfigError("to_huggingface: load_parameters_path=FOLDER is needed: the weights to convert");
  if (job.to.empty()) throw ConfigError("to_huggingface: base_output_directory=FOLDER is needed: the folder to write");
  require_other_place(job.from, job.to);
  resolve(job, words_of(line), environment);
  choose_modules(job, line.key("mtp_num_layers").has_value());
  job.dtype = save_dtype(line, stored_dtype(job.from).value_or(job.dtype));
  std::string home = line.flag("hf_model_path").value_or(job.from);
  home = find_in_hub("--hf_model_path", home, HubKind::kModel, environment);
  return write_folder(job, home);
}

}  // namespace fathom
