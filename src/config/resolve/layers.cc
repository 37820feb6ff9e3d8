#include "config/resolve/layers.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "config/keys/typed_value.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

// Keys that our model files hold and the peer's do not: a peer's command line sets them without override_model_config.
constexpr std::string_view kOursInModelFiles[] = {"n_routing_groups", "topk_routing_group", "routing_group_score",
                                                  "norm_topk_prob", "mscale_all_dim"};

void report_unknown(const std::string& key, const std::string& origin, Problems& problems) {
  std::vector<std::string> near = nearest_keys(key);
  std::string hint = near.empty() ? "`fathom keys` lists all" : fmt::format("nearest: {}", fmt::join(near, ", "));
  problems.add("{}: unknown key '{}' ({})", origin, key, hint);
}

// Adds one setting; the fields of a map without a row of its own become dotted keys (lora: {enable_lora: true}).
void add_setting(const std::string& key, RawValue raw, const std::string& origin, Layer& layer, Problems& problems) {
  if (const KeyRow* row = find_key(key)) {
    layer.insert_or_assign(key, Setting{row, std::move(raw), origin});
  } else if (raw.kind == RawValue::Kind::kMap && !raw.fields.empty()) {
    for (auto& [name, field] : raw.fields) {
      add_setting(fmt::format("{}.{}", key, name), std::move(field), origin, layer, problems);
    }
  } else {
    report_unknown(key, origin, problems);
  }
}

// Replaces ${oc.env:NAME} and ${oc.env:NAME,default} in every scalar.
void interpolate(RawValue& value, const std::string& origin, const Environment& environment, Problems& problems) {
  constexpr std::string_view kOpen = "${oc.env:";
  for (size_t at = value.text.find(kOpen); at != std::string::npos; at = value.text.find(kOpen, at)) {
    size_t end = value.text.find('}', at);
    if (end == std::string::npos) break;
    std::string name = value.text.substr(at + kOpen.size(), end - at - kOpen.size());
    std::optional<std::string> content;  // of the variable, or the default after the comma
    if (size_t comma = name.find(','); comma != std::string::npos) {
      content = name.substr(comma + 1);
      name.resize(comma);
    }
    auto found = environment.find(name);
    if (found != environment.end()) content = found->second;
    if (!content) {
      problems.add("{}: the environment variable {} is not set", origin, name);
      return;
    }
    const std::string& text = *content;
    value.text.replace(at, end - at + 1, text);
    at += text.size();
  }
  for (RawValue& item : value.items) interpolate(item, origin, environment, problems);
  for (auto& [name, field] : value.fields) interpolate(field, origin, environment, problems);
}

// What follows `=` on the command line. Text keys take it as it stands, so that a prompt may hold any character.
RawValue argument_value(const std::string& key, const std::string& text) {
  const KeyRow* row = find_key(key);
  bool quoted = text.size() >= 2 && (text[0] == '"' || text[0] == '\'') && text.back() == text[0];
  auto as_text = [&] {
    RawValue raw;
    raw.kind = RawValue::Kind::kScalar;
    raw.text = text;
    return raw;
  };
  bool text_key = row != nullptr && row->type == KeyType::kString;
  // A regular expression is the one element of its list, whatever YAML would make of it.
  bool bare_item = row != nullptr && row->type == KeyType::kStrings && !(text.starts_with('[') && text.ends_with(']'));
  if ((text_key || bare_item) && !quoted) return as_text();
  return parse_yaml(text, key);
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

bool same_value(const Setting& a, const Setting& b) {
  try {
    return typed_value(*a.row, a.raw) == typed_value(*b.row, b.raw);
  } catch (const ConfigError&) {
    return false;
  }
}

bool flag(const Layer& layer, std::string_view key) {
  const Setting* setting = find_setting(layer, key);
  bool out = false;
  return setting != nullptr && parse_bool(setting->raw.text, out) && out;
}

// Rules of `later` replace those of the same name in `earlier`; new names follow.
void merge_rules(const Setting& earlier, Setting& later) {
  auto name_of_rule = [](const RawValue& rule) { return rule.items.empty() ? std::string() : rule.items[0].text; };
  std::vector<RawValue> merged;
  for (const RawValue& rule : earlier.raw.items) {
    bool replaced = std::any_of(later.raw.items.begin(), later.raw.items.end(),
                                [&](const RawValue& r) { return name_of_rule(r) == name_of_rule(rule); });
    if (!replaced) merged.push_back(rule);
  }
  merged.insert(merged.end(), later.raw.items.begin(), later.raw.items.end());
  later.raw.items = std::move(merged);
}

constexpr std::string_view kRulesKey = "logical_axis_rules";

// Puts `layer` over `under`.
void put_over(Layer& under, const Layer& layer, bool replace_rules) {
  for (const auto& [key, setting] : layer) {
    Setting winner = setting;
    if (key == kRulesKey && !replace_rules) {
      auto old = under.find(key);
      if (old != under.end()) merge_rules(old->second, winner);
    }
    under.insert_or_assign(key, std::move(winner));
  }
}

Layer read_file_layer(const std::string& path, const std::string& root, const Environment& environment,
                      std::vector<std::string> chain, Problems& problems) {
  if (std::find(chain.begin(), chain.end(), path) != chain.end()) {
    throw ConfigError(fmt::format("{}: base_config includes the file itself", path));
  }
  chain.push_back(path);
  RawValue document = parse_yaml(read_file(path), path);
  Layer layer;
  std::string base;
  if (document.kind == RawValue::Kind::kMap) {
    for (auto& [key, raw] : document.fields) {
      std::string origin = fmt::format("{}: line {}", path, raw.line);
      interpolate(raw, origin, environment, problems);
      if (key == "base_config") {
        base = raw.is_none() ? "" : raw.text;
      } else {
        add_setting(key, std::move(raw), origin, layer, problems);
      }
    }
  } else if (document.kind != RawValue::Kind::kNull) {
    throw ConfigError(fmt::format("{}: a configuration file holds `key: value` lines", path));
  }
  if (base.empty()) return layer;
  fs::path beside = fs::path(path).parent_path() / base;
  std::string base_path = fs::exists(beside) ? beside.string() : locate_config_file(base, root);
  Layer merged = read_file_layer(base_path, root, environment, chain, problems);
  put_over(merged, layer, flag(layer, "override_logical_axis_rules"));
  return merged;
}

// The model file's keys against one stronger layer.
void check_model_conflicts(const Layer& model, const Layer& stronger, Problems& problems) {
  for (const auto& [key, setting] : stronger) {
    const Setting* in_model = find_setting(model, key);
    bool free =
        std::find(std::begin(kOursInModelFiles), std::end(kOursInModelFiles), key) != std::end(kOursInModelFiles);
    if (in_model == nullptr || free || same_value(*in_model, setting)) continue;
    problems.add("{}: {}={} contradicts {} ({}): give override_model_config=True to change it", setting.origin, key,
                 flow_text(setting.raw), flow_text(in_model->raw), in_model->origin);
  }
}

}  // namespace

bool is_secret(std::string_view key) { return key == "hf_access_token"; }

const Setting* find_setting(const Layer& layer, std::string_view key) {
  auto found = layer.find(key);
  return found == layer.end() ? nullptr : &found->second;
}

ArgumentList parse_arguments(std::span<const std::string> args, Problems& problems) {
  ArgumentList out;
  const std::string origin = "command line";
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    size_t equals = arg.find('=');
    if (i == 0 && arg.ends_with(".yml") && equals == std::string::npos) {
      out.file = arg;
    } else if (equals == std::string::npos || equals == 0) {
      problems.add("command line: expected key=value, got '{}'", arg);
    } else {
      std::string key = arg.substr(0, equals);
      try {
        add_setting(key, argument_value(key, arg.substr(equals + 1)), origin, out.layer, problems);
      } catch (const ConfigError& e) {
        problems.add("command line: {}", e.what());
      }
    }
  }
  return out;
}

Layer environment_layer(const Environment& environment, Problems& problems) {
  Layer layer;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) {
      std::string variable = "M_" + upper(row.name);
      auto found = environment.find(variable);
      if (found == environment.end()) continue;
      std::string origin = "environment " + variable;
      if (row.type == KeyType::kStrings || row.type == KeyType::kRules || row.type == KeyType::kAny) {
        problems.add("{}: a list cannot come from the environment", origin);
        continue;
      }
      RawValue raw;
      raw.kind = RawValue::Kind::kScalar;
      raw.text = found->second;
      layer.emplace(row.name, Setting{&row, std::move(raw), origin});
    }
  }
  return layer;
}

Layer file_layer(const std::string& path, const std::string& root, const Environment& environment, Problems& problems) {
  return read_file_layer(path, root, environment, {}, problems);
}

Layer text_layer(const std::string& text, const std::string& origin, const Environment& environment,
                 Problems& problems) {
  Layer layer;
  RawValue document = parse_yaml(text, origin);
  for (auto& [key, raw] : document.fields) {
    std::string place = fmt::format("{}: line {}", origin, raw.line);
    interpolate(raw, place, environment, problems);
    add_setting(key, std::move(raw), place, layer, problems);
  }
  return layer;
}

std::string locate_config_file(const std::string& path, const std::string& root) {
  fs::path configs = fs::path(root) / "configs";
  for (std::string_view prefix : {"src/maxtext/configs/", "src/MaxText/configs/"}) {
    if (!path.starts_with(prefix)) continue;
    fs::path ours = configs / path.substr(prefix.size());
    if (fs::exists(ours)) return ours.string();
    throw ConfigError(fmt::format("{}: there is no configs/{}", path, path.substr(prefix.size())));
  }
  for (const fs::path& place : {fs::path(path), fs::path(root) / path, configs / path}) {
    if (fs::is_regular_file(place)) return place.lexically_normal().string();
  }
  throw ConfigError(
      fmt::format("{}: no such configuration file (looked here, in {} and in {})", path, root, configs.string()));
}

std::optional<std::string> locate_model_file(const std::string& name, const std::string& file,
                                             const std::string& root) {
  constexpr std::string_view kInstruct = "-Instruct";
  std::string base = name.ends_with(kInstruct) ? name.substr(0, name.size() - kInstruct.size()) : name;
  fs::path folder = fs::path(file).parent_path();
  for (const fs::path& models : {folder / "models", folder / ".." / "models", fs::path(root) / "configs" / "models"}) {
    fs::path candidate = models / (base + ".yml");
    if (fs::is_regular_file(candidate)) return candidate.lexically_normal().string();
  }
  return std::nullopt;
}

std::vector<std::string> model_names(const std::string& root) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(root) / "configs" / "models")) {
    if (entry.path().extension() == ".yml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Layer merge_layers(const LayerStack& stack, Problems& problems) {
  for (const auto& [key, setting] : stack.environment) {
    if (stack.arguments.contains(key)) {
      problems.add("{}: {} is on the command line as well: give it once", setting.origin, key);
    }
  }
  auto flag_on_top = [&](std::string_view key) {
    return flag(stack.environment, key) || flag(stack.arguments, key) || flag(stack.file, key);
  };
  if (!flag_on_top("override_model_config")) {
    check_model_conflicts(stack.model, stack.arguments, problems);
    check_model_conflicts(stack.model, stack.environment, problems);
  }
  bool replace_rules = flag_on_top("override_logical_axis_rules") || flag(stack.model, "override_logical_axis_rules");
  Layer merged = {};
  const KeyRow* rules = find_key(kRulesKey);
  RawValue default_rules = parse_yaml(std::string(rules->default_text), std::string(kRulesKey));
  merged.emplace(kRulesKey, Setting{rules, std::move(default_rules), "default"});
  for (const Layer* layer : {&stack.file, &stack.model, &stack.arguments, &stack.environment}) {
    put_over(merged, *layer, replace_rules);
  }
  return merged;
}

}  // namespace fathom
