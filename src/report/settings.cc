#include "report/settings.h"

#include <algorithm>

#include "base/error.h"
#include "config/keys/typed_value.h"

namespace fathom {
namespace {

Setting setting_of(const RawField& field) {
  Setting out{.key = field.name, .value = flow_text(field.value), .plain = field.value.text};
  const KeyRow* row = find_key(field.name);
  out.known = row != nullptr;
  if (row == nullptr) return out;
  try {
    // As typed values, so that 1e-08 is 1e-8.
    out.default_value = yaml_text(default_value(*row));
    out.value = yaml_text(typed_value(*row, field.value));
  } catch (const ConfigError&) {
    // A value of another version of fathom stays as it is spelt.
  }
  return out;
}

}  // namespace

std::vector<Setting> settings_of(const std::string& text, const std::string& path) {
  const RawValue tree = parse_yaml(text, path);
  if (tree.kind != RawValue::Kind::kMap) throw ConfigError(path + ": not a map of keys");
  std::vector<Setting> out;
  for (const RawField& field : tree.fields) out.push_back(setting_of(field));
  std::ranges::sort(out, {}, &Setting::key);
  return out;
}

std::string setting(const std::vector<Setting>& settings, const std::string& key) {
  const auto at = std::ranges::find(settings, key, &Setting::key);
  return at == settings.end() ? "" : at->plain;
}

}  // namespace fathom
