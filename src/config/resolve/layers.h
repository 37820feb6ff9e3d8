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

// Whether the command line or the environment says it.
bool from_user(const Setting& setting);

// One layer: a key stands once.
using Layer = std::map<std::string, Setting, std::less<>>;

struct ArgumentList {
  std::string file;  // the argument that ends in .yml or .yaml
  Layer layer;
};

// Splits `args` into the file and the key=value settings.
ArgumentList parse_arguments(std::span<const std::string> args, Problems& problems);
// The variables M_<KEY>, that of a key with a letter wrong being a mistake. Adds a notice for others that begin so.
Layer environment_layer(const Environment& environment, std::vector<std::string>& notices, Problems& problems);

struct FileLayers {
  Layer own;  // what the file itself says
  Layer all;  // with what it includes by base_config, the child's keys winning
};
// A configuration file. Its values are as they are written: Interpolation says what their ${...} stand for.
FileLayers file_layers(const std::string& path, const std::string& root, const Environment& environment,
                       Problems& problems);

// Where a configuration file lies: `src/maxtext/configs/x` is <root>/configs/x, otherwise as given, then under the
// root. Throws ConfigError naming the places when it is nowhere.
std::string locate_config_file(const std::string& path, const std::string& root);
// <kind>/<name>.yml ("models", "mesh_and_rule") beside the configuration file, then above it, then in the project's
// configs; nothing when unknown.
std::optional<std::string> locate_named_file(std::string_view kind, const std::string& name, const std::string& file,
                                             const std::string& root);
// The names of the project's configs/<kind>, sorted.
std::vector<std::string> names_of(std::string_view kind, const std::string& root);

struct LayerStack {
  Layer base;   // the configuration file with what it includes
  Layer model;  // the model file or config.json
  Layer own;    // what the configuration file itself says, where it lets that win over the model file
  Layer mesh;   // what custom_mesh_and_rule names
  Layer arguments, environment;
};
// Whether a layer sets the flag `key`.
bool flag(const Layer& layer, std::string_view key);
// Puts `layer` over `under`; sharding rules replace those of the same name, or with `replace_rules` all.
void put_over(Layer& under, const Layer& layer, bool replace_rules);
// Merges the layers, lowest first, into the settings that count. A key of the model layer may be given again on the
// command line or in the environment only with the same value, unless override_model_config.
Layer merge_layers(const LayerStack& stack, Problems& problems);

// True for keys whose values must not be printed.
bool is_secret(std::string_view key);
// The setting of a merged layer, or null.
const Setting* find_setting(const Layer& layer, std::string_view key);

}  // namespace fathom
