#include "base/environment.h"

#include <unistd.h>

#include <cstdlib>

#include "base/error.h"

namespace fathom {

Environment process_environment() {
  Environment out;
  for (char** e = environ; *e != nullptr; ++e) {
    std::string entry = *e;
    size_t equals = entry.find('=');
    if (equals != std::string::npos) out.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return out;
}

std::string variable(const Environment& environment, const std::string& name) {
  auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

std::string process_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string expand_home(const std::string& path, const Environment& environment) {
  if (path != "~" && !path.starts_with("~/")) return path;
  std::string home = variable(environment, "HOME");
  if (home.empty()) throw ConfigError(path + ": HOME is not set, so that ~ names no folder: give the whole path");
  return home + path.substr(1);
}

}  // namespace fathom
