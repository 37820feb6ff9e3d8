#include "runtime/plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "runtime/pjrt_api.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

using GetPjrtApi = const PJRT_Api* (*)();

// dlopen's errors span lines for some loaders; ours are one line.
std::string loader_error() {
  const char* text = dlerror();
  std::string out = text == nullptr ? "unknown error" : text;
  for (char& c : out) c = c == '\n' ? ' ' : c;
  return out;
}

// NOW: an unresolved symbol is an error here, not in the middle of a step. LOCAL: two plugins carry two copies of XLA,
// which must not bind to each other.
const PJRT_Api* open_plugin(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    throw ConfigError(fmt::format("{}: cannot be loaded as a PJRT plugin: {}", path, loader_error()));
  }
  auto get = reinterpret_cast<GetPjrtApi>(dlsym(library, "GetPjrtApi"));
  if (get == nullptr) {
    throw ConfigError(fmt::format("{}: is a shared object but no PJRT plugin: it does not export GetPjrtApi", path));
  }
  const PJRT_Api* api = get();
  if (api == nullptr) throw ConfigError(fmt::format("{}: broken PJRT plugin: GetPjrtApi returns nothing", path));
  return api;
}

void check_version(const std::string& path, const PJRT_Api& api) {
  const PJRT_Api_Version& v = api.pjrt_api_version;
  if (v.major_version != PJRT_API_MAJOR || v.minor_version < kOldestApiMinor) {
    throw ConfigError(
        fmt::format("{}: this plugin speaks PJRT API {}.{}, fathom needs {}.{} or a later {}.x: install a newer plugin",
                    path, v.major_version, v.minor_version, PJRT_API_MAJOR, kOldestApiMinor, PJRT_API_MAJOR));
  }
}

}  // namespace

Plugin::Plugin(std::string path)
    : path_(std::move(path)),
      file_(
          fmt::format("{} {} {}", path_, fs::file_size(path_), fs::last_write_time(path_).time_since_epoch().count())),
      api_(open_plugin(path_)) {
  check_version(path_, *api_);
  PJRT_Plugin_Initialize_Args initialize{};
  FATHOM_PJRT(*this, PJRT_Plugin_Initialize, initialize);
  PJRT_Plugin_Attributes_Args attributes{};
  FATHOM_PJRT(*this, PJRT_Plugin_Attributes, attributes);
  attributes_ = from_pjrt(attributes.attributes, attributes.num_attributes);
}

const Plugin& Plugin::load(const std::string& path) {
  std::error_code error;
  fs::path file = fs::canonical(path, error);
  if (error || !fs::is_regular_file(file)) {
    throw ConfigError(fmt::format("{}: cannot be loaded as a PJRT plugin: {}", path,
                                  error ? error.message() : std::string("it is not a file")));
  }
  // Never freed: buffers and clients that die while the process ends still point to their plugin.
  static auto& mutex = *new std::mutex;
  static auto& loaded = *new std::map<std::string, std::unique_ptr<const Plugin>>;
  std::lock_guard lock(mutex);
  // XLA's own log repeats every error that it also returns; whoever wants it sets the variable to 0. It must be there
  // before the library is.
  setenv("TF_CPP_MIN_LOG_LEVEL", "3", 0);
  auto& slot = loaded[file.string()];
  if (slot == nullptr) slot.reset(new Plugin(file.string()));
  return *slot;
}

std::string Plugin::description() const {
  std::string out =
      fmt::format("PJRT {}.{}", api_->pjrt_api_version.major_version, api_->pjrt_api_version.minor_version);
  auto it = attributes_.find("stablehlo_current_version");
  if (it != attributes_.end()) out += ", stablehlo " + to_string(it->second);
  return out;
}

std::string Plugin::fingerprint() const {
  std::string out = fmt::format("{} {}", file_, description());
  for (const auto& [name, value] : attributes_) out += fmt::format(" {}={}", name, to_string(value));
  return out;
}

const void* Plugin::extension(int type) const {
  for (const PJRT_Extension_Base* e = api_->extension_start; e != nullptr; e = e->next) {
    if (static_cast<int>(e->type) == type) return e;
  }
  return nullptr;
}

}  // namespace fathom
