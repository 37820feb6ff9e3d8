// The layers of a configuration: which file, argument or variable sets a key, and which of them wins.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/keys/keys.h"
#include "config/problems.h"
#include "config/resolve/resolve.h"

namespace fathom {

struct Setting {
  const KeyRow* row = nullptr;
  RawValue raw;
  std::string origin;  // "configs/base.yml: line 3", "command line", "environment M_STEPS"
};

// One layer: a key stands once.
using Layer = std::map<std::string, Setting, std::less<>>;

struct ArgumentList {
  std::string file;  // the first argument when it ends in .yml
  Layer layer;
};

// Splits `args` into the file and the key=value settings.
ArgumentList parse_arguments(std::span<const std::string> args, Problems& problems);
// The variables M_<KEY>.
Layer environment_layer(const Environment& environment, Problems& problems);
// A configuration file with what it includes by base_config, the child's keys winning.
Layer file_layer(const std::string& path, const std::string& root, const Environment& environment, Problems& problems);
// The settings of one YAML text without includes. `origin` names it in messages.
Layer text_layer(const std::string& text, const std::string& origin, const Environment& environment,
                 Problems& problems);

// Where a configuration file lies: `src/maxtext/configs/x` is <root>/configs/x, otherwise as given, then under the
// root. Throws ConfigError naming the places when it is nowhere.
std::string locate_config_file(const std::string& path, const std::string& root);
// configs/models/<name>.yml beside the configuration file, then above it, then in the project; nothing when unknown.
std::optional<std::string> locate_model_file(const std::string& name, const std::string& file, const std::string& root);
// The models of configs/models, sorted.
std::vector<std::string> model_names(const std::string& root);

// Merges the layers, lowest first, into the settings that count. A key of the model layer may be given again on the
// command line or in the environment only with the same value, unless override_model_config.
struct LayerStack {
  Layer file, model, arguments, environment;
};
Layer merge_layers(const LayerStack& stack, Problems& problems);

// True for keys whose values must not be printed.
bool is_secret(std::string_view key);
// The setting of a merged layer, or null.
const Setting* find_setting(const Layer& layer, std::string_view key);

}  // namespace fathom
