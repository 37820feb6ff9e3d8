#include "config/resolve/resolve.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "config/keys/typed_value.h"
#include "config/resolve/derive.h"
#include "config/resolve/hf_config.h"
#include "config/resolve/validate.h"
#include "storage/file_store.h"
#include "storage/hub.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

// The text of a key in the strongest layer that sets it; empty when none does.
std::string early_text(const LayerStack& stack, std::string_view key) {
  for (const Layer* layer : {&stack.environment, &stack.arguments, &stack.file}) {
    const Setting* setting = find_setting(*layer, key);
    if (setting != nullptr) return setting->raw.is_none() ? "" : setting->raw.text;
  }
  return "";
}

// config.json of a folder, or of its parent (converted folders carry it beside `items`).
Layer auto_model_layer(const LayerStack& stack, const Environment& environment, const ResolveOptions& options,
                       Problems& problems) {
  std::string folder = options.model_folder.empty() ? early_text(stack, "load_parameters_path") : options.model_folder;
  if (folder.empty()) throw ConfigError("model_name=auto needs load_parameters_path=<folder with config.json>");
  folder = find_in_hub("load_parameters_path", folder, HubKind::kModel, environment);
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  std::string parent = fs::path(folder).parent_path().string();
  for (const std::string& place : {folder, parent}) {
    std::string path = fmt::format("{}/config.json", place.empty() ? "." : place);
    const FileStore& store = file_store(path);
    if (store.kind(path) == PathKind::kFile) {
      constexpr int64_t kMost = int64_t{64} << 20;
      const int64_t size = store.size(path);
      if (size > kMost) throw FormatError(path, fmt::format("{} bytes long; {} are the most", size, kMost));
      return hf_model_layer(std::string(store.read(path).bytes), path, problems);
    }
  }
  throw ConfigError(fmt::format("model_name=auto: no config.json in {} or above it", folder));
}

Layer model_layer(const LayerStack& stack, const std::string& file, const std::string& root,
                  const Environment& environment, const ResolveOptions& options, Problems& problems) {
  std::string name = early_text(stack, "model_name");
  std::vector<std::string> names = model_names(root);
  if (name == "auto") return auto_model_layer(stack, environment, options, problems);
  if (name == "default") return {};
  if (name.empty()) {
    throw ConfigError(fmt::format(
        "model_name is not given: one of {}, `auto` for the config.json of load_parameters_path, or `default` for "
        "dimensions given key by key",
        fmt::join(names, ", ")));
  }
  std::optional<std::string> path = locate_model_file(name, file, root);
  if (!path) {
    std::vector<std::string> near = nearest_names(name, names);
    std::string hint = near.empty() ? "" : fmt::format(" (nearest: {})", fmt::join(near, ", "));
    throw ConfigError(
        fmt::format("model_name={}: no such model{}; known: {}, auto, default", name, hint, fmt::join(names, ", ")));
  }
  return file_layer(*path, root, environment, problems);
}

std::string shown(const Setting& setting) { return is_secret(setting.row->name) ? "(hidden)" : flow_text(setting.raw); }

// One key of the merged layers: type, class, and its field of Config.
void apply(const Setting& setting, Config& config, std::vector<std::string>& notices, Problems& problems) {
  const KeyRow& row = *setting.row;
  KeyValue value;
  try {
    value = typed_value(row, setting.raw);
  } catch (const ConfigError& e) {
    // The text of a secret must not end in a message.
    problems.add("{}: {} {}", setting.origin, row.name, is_secret(row.name) ? "needs a text" : e.what());
    return;
  }
  bool at_default = value == default_value(row);
  if (row.key_class == KeyClass::kRefused && !at_default) {
    problems.add("{}: {}={} is refused: {} (only {} is accepted)", setting.origin, row.name, shown(setting), row.help,
                 row.default_text.empty() ? "an empty value" : row.default_text);
    return;
  }
  bool from_user = setting.origin.starts_with("command line") || setting.origin.starts_with("environment");
  if (row.key_class == KeyClass::kIgnored && (from_user || !at_default)) {
    notices.push_back(fmt::format("{}={} has no effect: {}", row.name, shown(setting), row.help));
  }
  bool empty_choice = row.type == KeyType::kChoice && value == KeyValue(std::string());
  if (row.binding != nullptr && !empty_choice) row.binding->set(config, value);
}

void apply_defaults(Config& config) {
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.binding == nullptr) continue;
      KeyValue value = default_value(row);
      bool empty_choice = row.type == KeyType::kChoice && value == KeyValue(std::string());
      if (!empty_choice) row.binding->set(config, value);
    }
  }
}

// A folder with configs/base.yml among `start` and its ancestors; empty when there is none.
std::string root_above(fs::path start) {
  for (; !start.empty(); start = start.parent_path()) {
    if (fs::is_regular_file(start / "configs" / "base.yml")) return start.string();
    if (start == start.root_path()) break;
  }
  return "";
}

}  // namespace

std::string find_project_root() {
  std::error_code fault;
  fs::path program = fs::read_symlink("/proc/self/exe", fault);
  for (const fs::path& start : {program.parent_path(), fs::current_path()}) {
    if (std::string root = root_above(start); !root.empty()) return root;
  }
  throw ConfigError("configs/base.yml is neither above the program nor above the current folder");
}

Resolved resolve_config(std::span<const std::string> args, const Environment& environment,
                        const ResolveOptions& options) {
  Problems problems;
  Resolved out;
  std::string root = options.project_root.empty() ? find_project_root() : options.project_root;
  ArgumentList arguments = parse_arguments(args, problems);
  std::string file = locate_config_file(arguments.file.empty() ? options.default_file : arguments.file, root);
  LayerStack stack;
  stack.arguments = std::move(arguments.layer);
  stack.environment = environment_layer(environment, problems);
  stack.file = file_layer(file, root, environment, problems);
  try {
    stack.model = model_layer(stack, file, root, environment, options, problems);
  } catch (const ConfigError& e) {
    // Without a model the dimensions mean nothing: only what is wrong with the layers is said besides.
    problems.add("{}", e.what());
    problems.throw_if_any();
  }
  Layer settings = merge_layers(stack, problems);
  apply_defaults(out.config);
  for (const auto& [key, setting] : settings) {
    apply(setting, out.config, out.notices, problems);
    if (setting.origin != "default") out.sources.push_back({key, shown(setting), setting.origin});
  }
  derive(out.config, {settings, stack.model, environment, options}, out.notices, problems);
  validate(out.config, options, problems);
  if (options.check_environment) options.check_environment(out.config, environment, problems);
  problems.throw_if_any();
  return out;
}

std::string to_yaml(const Config& config) {
  std::vector<std::string> lines;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.binding == nullptr || is_secret(row.name)) continue;
      lines.push_back(fmt::format("{}: {}\n", row.name, yaml_text(row.binding->get(config))));
    }
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, ""));
}

}  // namespace fathom
