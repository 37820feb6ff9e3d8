#include "config/resolve/layers.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "config/keys/typed_value.h"
#include "config/resolve/interpolate.h"

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

// Another program's variable may begin with M_ too: only what is nearly a key is a mistake.
void report_unknown_variable(const std::string& variable, std::vector<std::string>& notices, Problems& problems) {
  std::string key = variable.substr(2);
  std::transform(key.begin(), key.end(), key.begin(), [](unsigned char c) { return std::tolower(c); });
  if (is_misspelt_key(key)) {
    std::vector<std::string> near = nearest_keys(key);
    for (std::string& name : near) {
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    }
    problems.add("environment {}: names no key (nearest: M_{})", variable, fmt::join(near, ", M_"));
  } else {
    notices.push_back(fmt::format("environment {} names no key: it has no effect", variable));
  }
}

// Adds one setting; the fields of a map without a row of its own become dotted keys (lora: {enable_lora: true}).
// `source`: a file, or what else the key comes from.
void add_setting(const std::string& key, RawValue raw, const std::string& source, Layer& layer, Problems& problems) {
  std::string origin = raw.line > 0 ? fmt::format("{}: line {}", source, raw.line) : source;
  if (const KeyRow* row = find_key(key)) {
    auto found = layer.find(key);
    if (found != layer.end() && raw.line > 0) {
      problems.add("{}: {} is given twice ({} as well)", origin, key, found->second.origin);
    }
    layer.insert_or_assign(key, Setting{row, std::move(raw), origin});
  } else if (raw.kind == RawValue::Kind::kMap && !raw.fields.empty()) {
    for (auto& [name, field] : raw.fields) {
      add_setting(fmt::format("{}.{}", key, name), std::move(field), source, layer, problems);
    }
  } else {
    report_unknown(key, origin, problems);
  }
}

// What follows `=` on the command line. Text keys take it as it stands, so that a prompt may hold any character, but
// for what is quoted and for the words that are no value in a file either.
RawValue argument_value(const std::string& key, const std::string& text) {
  const KeyRow* row = find_key(key);
  bool quoted = !text.empty() && (text[0] == '"' || text[0] == '\'');
  for (std::string_view none : {"", "~", "null", "Null", "NULL"}) {
    if (text == none) return {};
  }
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
  try {
    return parse_yaml(text, key);
  } catch (const ConfigError&) {
    if (!quoted) throw;
    throw ConfigError(fmt::format("{}={}: the quote that it begins with does not close at its end", key, text));
  }
}

// An argument has no lines.
void forget_lines(RawValue& value) {
  value.line = 0;
  for (RawValue& item : value.items) forget_lines(item);
  for (auto& [name, field] : value.fields) forget_lines(field);
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

FileLayers read_layers(const std::string& path, const std::string& root, const Environment& environment,
                       std::vector<std::string> chain, Problems& problems) {
  if (std::find(chain.begin(), chain.end(), path) != chain.end()) {
    throw ConfigError(fmt::format("{}: base_config includes the file itself", path));
  }
  chain.push_back(path);
  RawValue document = parse_yaml(read_file(path), path);
  FileLayers out;
  std::string base;
  if (document.kind == RawValue::Kind::kMap) {
    for (auto& [key, raw] : document.fields) {
      if (key == "base_config") {
        raw = Interpolation({}, environment).value(raw);
        base = raw.is_none() ? "" : raw.text;
      } else {
        add_setting(key, std::move(raw), path, out.own, problems);
      }
    }
  } else if (document.kind != RawValue::Kind::kNull) {
    throw ConfigError(fmt::format("{}: a configuration file holds `key: value` lines", path));
  }
  if (!base.empty()) {
    fs::path beside = fs::path(path).parent_path() / base;
    std::string base_path = fs::exists(beside) ? beside.string() : locate_config_file(base, root);
    out.all = read_layers(base_path, root, environment, chain, problems).all;
  }
  put_over(out.all, out.own, flag(out.own, "override_logical_axis_rules"));
  return out;
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
  for (const std::string& arg : args) {
    size_t equals = arg.find('=');
    if ((arg.ends_with(".yml") || arg.ends_with(".yaml")) && equals == std::string::npos) {
      if (!out.file.empty()) {
        problems.add("command line: two configuration files, {} and {}: base_config in one names the other", out.file,
                     arg);
      }
      out.file = arg;
    } else if (equals == std::string::npos || equals == 0) {
      problems.add("command line: expected key=value, got '{}'", arg);
    } else {
      std::string key = arg.substr(0, equals);
      try {
        RawValue value = argument_value(key, arg.substr(equals + 1));
        forget_lines(value);
        add_setting(key, std::move(value), "command line", out.layer, problems);
      } catch (const ConfigError& e) {
        problems.add("command line: {}", e.what());
      }
    }
  }
  return out;
}

Layer environment_layer(const Environment& environment, std::vector<std::string>& notices, Problems& problems) {
  std::map<std::string, const KeyRow*> variables;
  for (const KeyGroup& group : key_groups()) {
    for (const KeyRow& row : group.rows) variables.emplace("M_" + upper(row.name), &row);
  }
  Layer layer;
  for (const auto& [name, content] : environment) {
    if (!name.starts_with("M_")) continue;
    std::string origin = "environment " + name;
    auto found = variables.find(name);
    if (found == variables.end()) {
      report_unknown_variable(name, notices, problems);
      continue;
    }
    const KeyRow& row = *found->second;
    if (row.type == KeyType::kStrings || row.type == KeyType::kRules || row.type == KeyType::kAny) {
      problems.add("{}: a list cannot come from the environment", origin);
      continue;
    }
    RawValue raw;
    raw.kind = RawValue::Kind::kScalar;
    raw.text = content;
    // Python's int() reads it: a zero in front is no octal number.
    raw.quoted = content.size() > 1 && content.find_first_of("123456789") != std::string::npos && content[0] == '0';
    layer.emplace(row.name, Setting{&row, std::move(raw), origin});
  }
  return layer;
}

FileLayers file_layers(const std::string& path, const std::string& root, const Environment& environment,
                       Problems& problems) {
  return read_layers(path, root, environment, {}, problems);
}

bool from_user(const Setting& setting) {
  return setting.origin.starts_with("command line") || setting.origin.starts_with("environment");
}

bool flag(const Layer& layer, std::string_view key) {
  const Setting* setting = find_setting(layer, key);
  bool out = false;
  return setting != nullptr && parse_bool(setting->raw.text, out) && out;
}

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
  if (fs::exists(path)) throw ConfigError(path + ": is there, but is no file with a configuration");
  throw ConfigError(
      fmt::format("{}: no such configuration file (looked here, in {} and in {})", path, root, configs.string()));
}

std::optional<std::string> locate_named_file(std::string_view kind, const std::string& name, const std::string& file,
                                             const std::string& root) {
  fs::path folder = fs::path(file).parent_path();
  for (const fs::path& place : {folder / kind, folder / ".." / kind, fs::path(root) / "configs" / kind}) {
    fs::path candidate = place / (name + ".yml");
    std::error_code none;  // a name too long for a file is no name of one
    if (fs::is_regular_file(candidate, none)) return candidate.lexically_normal().string();
  }
  return std::nullopt;
}

std::vector<std::string> names_of(std::string_view kind, const std::string& root) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(root) / "configs" / kind)) {
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
    return flag(stack.environment, key) || flag(stack.arguments, key) || flag(stack.base, key);
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
  for (const Layer* layer :
       {&stack.base, &stack.model, &stack.own, &stack.mesh, &stack.arguments, &stack.environment}) {
    put_over(merged, *layer, replace_rules);
  }
  return merged;
}

}  // namespace fathom
