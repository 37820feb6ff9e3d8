// From the words of a command line to a Config: file lookup, layers and precedence, typed values, all mistakes at once.
// Nothing here reads the process's environment: the caller gives one.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/environment.h"
#include "config/config.h"
#include "config/problems.h"

namespace fathom {

struct ResolveOptions {
  // The configuration file when the first argument names none: "base.yml" or "post_train/sft.yml".
  std::string default_file = "base.yml";
  // Whether the command reads a data set (train does; verify, decode and train_compile do not). Then a run without a
  // data set or without a tokenizer is an error.
  bool needs_data = true;
  // Whether the command turns text into tokens or back (decode does). A data set that is not synthetic does as well.
  bool needs_tokenizer = false;
  // The folder that holds `configs/`; empty = find_project_root().
  std::string project_root;
  // What `hardware` is when no layer names it.
  Hardware found_hardware = Hardware::kCpu;
  // The folder whose config.json model_name=auto reads; empty = load_parameters_path.
  std::string model_folder;
  // Checks that rooms above this one add for variables of the environment that are no keys; empty = none.
  std::function<void(const Config& config, const Environment& environment, Problems& problems)> check_environment;
};

// Where the value of one key came from.
struct KeySource {
  std::string key;
  std::string value;   // as YAML; "(hidden)" for a secret
  std::string origin;  // "configs/base.yml", "configs/models/deepseek3-671b.yml", "command line", "environment M_STEPS"
};

struct Resolved {
  Config config;
  // One line each, for the log: keys accepted without effect, defaults that were filled in.
  std::vector<std::string> notices;
  // Every key that some layer sets, sorted by key.
  std::vector<KeySource> sources;
};

// `environment`: the process environment as the caller read it; nothing here calls getenv.
// `args`: [path.yml] key=value ...; dashed flags belong to the commands and must be gone. Precedence, lowest first: the
// file (its base_config below it), the model file, `args`, the environment's M_<KEY>. Throws one ConfigError with a
// line for every mistake found.
Resolved resolve_config(std::span<const std::string> args, const Environment& environment,
                        const ResolveOptions& options = {});

// The folder that holds configs/base.yml: an ancestor of the executable, else the current folder or an ancestor of it.
// Throws ConfigError when there is none.
std::string find_project_root();

// All built keys with their resolved values as YAML, sorted by key; secrets are not among them. Taken as the
// configuration file of another run it resolves to the same values: it sets override_model_config.
std::string to_yaml(const Config& config);

}  // namespace fathom
