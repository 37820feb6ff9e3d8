#include "config/resolve/resolve.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "config/keys/typed_value.h"
#include "config/resolve/derive.h"
#include "config/resolve/hf_config.h"
#include "config/resolve/interpolate.h"
#include "config/resolve/validate.h"
#include "storage/file_store.h"
#include "storage/hub.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

// The text of a key in the strongest layer that sets it; empty when none does.
std::string early_text(const LayerStack& stack, std::string_view key) {
  for (const Layer* layer : {&stack.environment, &stack.arguments, &stack.base}) {
    const Setting* setting = find_setting(*layer, key);
    if (setting != nullptr) return setting->raw.is_none() ? "" : setting->raw.text;
  }
  return "";
}

// What says which files are read and which layer wins cannot wait until the layers are merged.
void resolve_early_keys(LayerStack& stack, const Environment& environment, Problems& problems) {
  Layer said = stack.base;
  put_over(said, stack.arguments, false);
  put_over(said, stack.environment, false);
  for (Layer* layer : {&stack.base, &stack.own, &stack.arguments}) {
    for (const char* key : {"model_name", "load_parameters_path", "load_full_state_path", "override_model_config",
                            "override_logical_axis_rules", "custom_mesh_and_rule"}) {
      auto found = layer->find(key);
      if (found == layer->end()) continue;
      try {
        found->second.raw = Interpolation(said, environment).value(found->second.raw);
      } catch (const ConfigError& e) {
        problems.add("{}: {}: {}", found->second.origin, key, e.what());
        layer->erase(found);
      }
    }
  }
}

// Puts what the ${...} of merged layers stand for in their place.
void resolve_references(Layer& settings, const Environment& environment, Problems& problems) {
  const Layer written = settings;
  for (const auto& [key, setting] : written) {
    if (setting.origin.starts_with("environment ")) continue;  // taken as it stands
    try {
      settings.at(key).raw = Interpolation(written, environment).value(setting.raw);
    } catch (const ConfigError& e) {
      problems.add("{}: {}: {}", setting.origin, key, e.what());
      settings.erase(key);
    }
  }
}

// config.json of a folder, or of its parent (converted folders carry it beside `items`).
Layer auto_model_layer(const LayerStack& stack, const Environment& environment, const ResolveOptions& options) {
  const char* key = "load_parameters_path";
  std::string folder = options.model_folder.empty() ? early_text(stack, key) : options.model_folder;
  if (folder.empty()) folder = early_text(stack, key = "load_full_state_path");
  if (folder.empty()) throw ConfigError("model_name=auto needs load_parameters_path=<folder with config.json>");
  folder = find_in_hub(key, folder, HubKind::kModel, environment);
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  std::string parent = fs::path(folder).parent_path().string();
  for (const std::string& place : {folder, parent}) {
    std::string path = fmt::format("{}/config.json", place.empty() ? "." : place);
    const FileStore& store = file_store(path);
    if (store.kind(path) == PathKind::kFile) {
      constexpr int64_t kMost = int64_t{64} << 20;
      const int64_t size = store.size(path);
      if (size > kMost) throw FormatError(path, fmt::format("{} bytes long; {} are the most", size, kMost));
      Problems problems;
      Layer layer = hf_model_layer(store.read(path), path, problems);
      problems.throw_if_any();  // what follows from wrong dimensions is no news
      return layer;
    }
  }
  throw ConfigError(fmt::format("model_name=auto: no config.json in {} or above it", folder));
}

// Models of the family that the peer has and that are something else here, or nothing.
std::string other_model(const std::string& name) {
  for (std::string_view variant : {"-2dfsdp", "-batchsplit", "-lineage"}) {
    if (!name.ends_with(variant)) continue;
    return fmt::format("a schedule of the peer's for the same model: give model_name={}",
                       name.substr(0, name.size() - variant.size()));
  }
  for (std::string_view family : {"deepseek", "kimi"}) {
    if (name.starts_with(family)) return "this model of the family is not built";
  }
  return "no such model";
}

Layer model_layer(const LayerStack& stack, const std::string& file, const std::string& root,
                  const Environment& environment, const ResolveOptions& options, Problems& problems) {
  std::string name = early_text(stack, "model_name");
  std::vector<std::string> names = names_of("models", root);
  if (name == "auto") return auto_model_layer(stack, environment, options);
  if (name == "default") return {};
  if (name.empty()) {
    throw ConfigError(fmt::format(
        "model_name is not given: one of {}, `auto` for the config.json of load_parameters_path, or `default` for "
        "dimensions given key by key",
        fmt::join(names, ", ")));
  }
  constexpr std::string_view kInstruct = "-Instruct";
  std::string base = name.ends_with(kInstruct) ? name.substr(0, name.size() - kInstruct.size()) : name;
  std::optional<std::string> path = locate_named_file("models", base, file, root);
  if (!path) {
    std::vector<std::string> near = nearest_names(name, names);
    std::string hint = near.empty() ? "" : fmt::format(" (nearest: {})", fmt::join(near, ", "));
    throw ConfigError(fmt::format("model_name={}: {}{}; built: {}, auto, default", name, other_model(name), hint,
                                  fmt::join(names, ", ")));
  }
  return file_layers(*path, root, environment, problems).all;
}

// The mesh and the sharding rules that custom_mesh_and_rule names.
Layer mesh_layer(const LayerStack& stack, const std::string& file, const std::string& root,
                 const Environment& environment, Problems& problems) {
  std::string name = early_text(stack, "custom_mesh_and_rule");
  if (name.empty()) return {};
  std::optional<std::string> path = locate_named_file("mesh_and_rule", name, file, root);
  if (!path) {
    problems.add(
        "custom_mesh_and_rule={}: this set of rules is not built; built: {}; others are given by mesh_axes and "
        "logical_axis_rules",
        name, fmt::join(names_of("mesh_and_rule", root), ", "));
    return {};
  }
  Layer layer = file_layers(*path, root, environment, problems).all;
  // The peer's files say these as well: here they follow from the rules.
  for (const char* key : {"data_sharding", "context_sharding", "ulysses_context_sharding"}) layer.erase(key);
  return layer;
}

std::string shown(const Setting& setting) { return is_secret(setting.row->name) ? "(hidden)" : flow_text(setting.raw); }

// The value of one key of the merged layers, by its type and in its range; nothing where it is a mistake.
std::optional<KeyValue> value_of(const Setting& setting, Problems& problems) {
  const KeyRow& row = *setting.row;
  try {
    KeyValue value = typed_value(row, setting.raw);
    std::string mistake = out_of_range(row, value);
    if (mistake.empty()) return value;
    problems.add("{}: {}={}: {}", setting.origin, row.name, flow_text(setting.raw), mistake);
  } catch (const ConfigError& e) {
    // The text of a secret must not end in a message.
    problems.add("{}: {} {}", setting.origin, row.name, is_secret(row.name) ? "needs a text" : e.what());
  }
  return std::nullopt;
}

bool holds_number(const KeyRow& row) {
  return row.type == KeyType::kInt || row.type == KeyType::kFloat || row.type == KeyType::kOptInt ||
         row.type == KeyType::kOptFloat;
}

// One key of the merged layers: class, and its field of Config.
void apply(const Setting& setting, const KeyValue& value, Resolved& out, Problems& problems) {
  const KeyRow& row = *setting.row;
  bool at_default = value == default_value(row);
  if (row.key_class == KeyClass::kRefused && !at_default) {
    std::vector<std::string> meant = keys_called(row.name);
    std::string instead = meant.empty() ? "" : fmt::format("; for training give {}", fmt::join(meant, ", "));
    problems.add("{}: {}={} is refused: {} (only {} is accepted){}", setting.origin, row.name, shown(setting), row.help,
                 row.default_text.empty() ? "an empty value" : row.default_text, instead);
    return;
  }
  const auto* choice = row.type == KeyType::kChoice ? std::get_if<std::string>(&value) : nullptr;
  if (choice != nullptr && !setting.raw.is_none() && *choice != setting.raw.text) {
    out.notices.push_back(fmt::format("{}={} is taken as {}", row.name, shown(setting), *choice));
  }
  if (row.key_class == KeyClass::kIgnored && (from_user(setting) || !at_default)) {
    out.notices.push_back(fmt::format("{}={} has no effect: {}", row.name, shown(setting), row.help));
  }
  bool empty_choice = row.type == KeyType::kChoice && value == KeyValue(std::string());
  if (row.binding != nullptr && !empty_choice) row.binding->set(out.config, value);
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
  stack.environment = environment_layer(environment, out.notices, problems);
  FileLayers said = file_layers(file, root, environment, problems);
  stack.base = std::move(said.all);
  stack.own = std::move(said.own);
  resolve_early_keys(stack, environment, problems);
  // A resolved configuration is such a file: its model is what it says.
  if (!flag(stack.base, "override_model_config")) stack.own.clear();
  try {
    stack.model = model_layer(stack, file, root, environment, options, problems);
    stack.mesh = mesh_layer(stack, file, root, environment, problems);
  } catch (const ConfigError& e) {
    // Without a model the dimensions mean nothing: only what is wrong with the layers is said besides.
    problems.add("{}", e.what());
    problems.throw_if_any();
  }
  Layer settings = merge_layers(stack, problems);
  resolve_references(settings, environment, problems);
  apply_defaults(out.config);
  bool numbers = true;
  for (const auto& [key, setting] : settings) {
    std::optional<KeyValue> value = value_of(setting, problems);
    if (value) apply(setting, *value, out, problems);
    numbers = numbers && (value || !holds_number(*setting.row));
    if (setting.origin != "default") out.sources.push_back({key, shown(setting), setting.origin});
  }
  derive(out.config, {settings, stack.model, environment, options}, out.notices, problems);
  // Beside a number that is not there, what the others say of each other means nothing.
  if (numbers) validate(out.config, options, problems);
  if (options.check_environment) options.check_environment(out.config, environment, problems);
  problems.throw_if_any();
  return out;
}

namespace {

// `${` as what a file must say for it.
std::string escaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "${") == 0) out += '\\';
    out += text[i];
  }
  return out;
}

KeyValue escaped(KeyValue value) {
  if (auto* text = std::get_if<std::string>(&value)) *text = escaped(*text);
  if (auto* list = std::get_if<std::vector<std::string>>(&value)) {
    for (std::string& item : *list) item = escaped(item);
  }
  return value;
}

}  // namespace

std::string to_yaml(const Config& config) {
  std::vector<std::string> lines;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      if (row.binding == nullptr || is_secret(row.name)) continue;
      KeyValue value = row.binding->get(config);
      // So that what the file says wins over the model file, when a run begins from it.
      if (row.name == "override_model_config") value = true;
      lines.push_back(fmt::format("{}: {}\n", row.name, yaml_text(escaped(std::move(value)))));
    }
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, ""));
}

}  // namespace fathom
