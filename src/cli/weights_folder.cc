#include "cli/weights_folder.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/orbax_folder.h"
#include "checkpoint/safetensors_folder.h"
#include "checkpoint/step_writer.h"

namespace fathom {
namespace {

// The folder of weights that a path means: itself, or the newest step of a run.
std::string weights_in(const std::string& path) {
  if (OrbaxFolder::is_checkpoint(path) || TensorFolder::is_model_folder(path)) return path;
  for (const std::string& folder : {join_path(path, "checkpoints"), path}) {
    const std::vector<int64_t> steps = whole_steps(folder);
    if (!steps.empty()) return join_path(folder, std::to_string(steps.back()));
  }
  return path;
}

// The folder of the run that the configuration names. Where the words alone name it nothing is resolved:
// model_name=auto has no folder to read yet.
Config named_run(const CommandLine& line, const Environment& environment) {
  Config out;
  const std::string base = line.key("base_output_directory").value_or(""), name = line.key("run_name").value_or("");
  if (!base.empty() && !name.empty()) out.run_directory = join_path(base, name);
  if (!out.run_directory.empty() && weights_in(out.run_directory) != out.run_directory) return out;
  return resolve_config(line.config, environment, {.needs_data = false}).config;
}

}  // namespace

std::string newest_weights(const std::string& path) {
  std::string folder = weights_in(path);
  if (folder != path) log_info("the weights are those of the newest step, {}", folder);
  return folder;
}

std::vector<std::string> words_with_weights(const CommandLine& line, const Environment& environment) {
  constexpr std::string_view kKey = "load_parameters_path";
  std::vector<std::string> words = line.config;
  std::string weights = line.key(kKey).value_or("");
  if (weights.empty()) {
    const Config config = named_run(line, environment);
    if (!config.load_full_state_path.empty()) {
      throw ConfigError(fmt::format(
          "load_full_state_path: {} takes weights alone; give the folder as load_parameters_path", line.command));
    }
    const bool of_run = weights_in(config.run_directory) != config.run_directory;
    weights = of_run ? config.run_directory : config.load_parameters_path;
    if (weights.empty()) {
      throw ConfigError(fmt::format(
          "no weights: give load_parameters_path=FOLDER, or base_output_directory and run_name of a run with "
          "checkpoints ({} has none)",
          config.run_directory));
    }
  }
  words.push_back(fmt::format("{}={}", kKey, newest_weights(weights)));
  return words;
}

}  // namespace fathom
