#include "storage/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/remote_path.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

fs::path cache_folder(const Environment& environment) {
  if (std::string cache = variable(environment, "HF_HUB_CACHE"); !cache.empty()) return cache;
  if (std::string home = variable(environment, "HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (std::string xdg = variable(environment, "XDG_CACHE_HOME"); !xdg.empty()) {
    return fs::path(xdg) / "huggingface" / "hub";
  }
  return fs::path(variable(environment, "HOME")) / ".cache" / "huggingface" / "hub";
}

// "org/name": what the Hub calls a repository.
bool is_hub_name(const std::string& name) {
  bool letters = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/';
  });
  return letters && std::count(name.begin(), name.end(), '/') == 1 && name.front() != '/' && name.back() != '/' &&
         name.front() != '.';
}

// The snapshot that refs/main names, else the last one written; empty when there is none.
fs::path snapshot(const fs::path& repository) {
  fs::path main = repository / "refs" / "main";
  if (fs::is_regular_file(main)) {
    std::string revision = read_file(main.string());
    while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back()))) revision.pop_back();
    if (fs::is_directory(repository / "snapshots" / revision)) return repository / "snapshots" / revision;
  }
  fs::path newest;
  if (!fs::is_directory(repository / "snapshots")) return newest;
  for (const fs::directory_entry& entry : fs::directory_iterator(repository / "snapshots")) {
    if (newest.empty() || entry.last_write_time() > fs::last_write_time(newest)) newest = entry.path();
  }
  return newest;
}

}  // namespace

std::string find_in_hub(const std::string& key, const std::string& name, HubKind kind, const Environment& environment) {
  std::string path = expand_home(name, environment);
  if (is_remote(path) || fs::exists(path)) return path;
  if (!is_hub_name(name)) throw ConfigError(fmt::format("{}={}: no such file or folder", key, name));
  std::string folder = (kind == HubKind::kModel ? "models--" : "datasets--") + name;
  folder.replace(folder.find('/'), 1, "--");
  fs::path cache = cache_folder(environment);
  fs::path found = snapshot(cache / folder);
  if (!found.empty()) return found.string();
  throw ConfigError(fmt::format("{}={}: no such path, and not in the Hub's cache {}: run `hf download {}{}`", key, name,
                                cache.string(), name, kind == HubKind::kModel ? "" : " --repo-type dataset"));
}

}  // namespace fathom
