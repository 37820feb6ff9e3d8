// The configuration of a run beside the defaults.
#pragma once

#include <string>
#include <vector>

namespace fathom {

struct Setting {
  std::string key, value;          // as YAML
  std::string default_value = {};  // empty where `known` is false
  std::string plain = {};          // the value without YAML's quotes; of a list or a map empty
  bool known = true;               // the key is one of ours
  bool differs() const { return !known || value != default_value; }
};

// The keys of a run's config.yml, `text`, sorted by name. Throws ConfigError naming `path` when it is no YAML map.
std::vector<Setting> settings_of(const std::string& text, const std::string& path);
// The plain value of a key; empty when it is not there.
std::string setting(const std::vector<Setting>& settings, const std::string& key);

}  // namespace fathom
