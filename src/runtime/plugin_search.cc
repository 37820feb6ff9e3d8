#include "runtime/plugin_search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/environment.h"
#include "base/error.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

struct PluginWheel {
  Hardware hardware;
  const char* file;     // inside site-packages
  const char* package;  // what to install
  const char* set_up;   // the command that installs it
};

// In order of preference: the first one installed is the default of its hardware.
constexpr PluginWheel kPluginWheels[] = {
    {Hardware::kCpu, "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so", "lammps-jax-pjrt-cpu", "./run setup"},
    {Hardware::kCpu, "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so", "xla-cpu-pjrt", "./run setup"},
    {Hardware::kTpu, "libtpu/libtpu.so", "libtpu", "./run setup tpu"},
    {Hardware::kGpu, "jax_plugins/xla_cuda13/xla_cuda_plugin.so", "jax-cuda13-pjrt", "./run setup cuda"},
};

void add_unique(std::vector<fs::path>& list, const fs::path& path) {
  if (std::find(list.begin(), list.end(), path) == list.end()) list.push_back(path);
}

// Adds the folders `lib`/python3*/`packages` that exist, in the order of their names.
void add_site_packages(const fs::path& lib, const char* packages, std::vector<fs::path>& to) {
  std::error_code none;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(lib, none)) {
    if (!entry.path().filename().string().starts_with("python3")) continue;
    if (fs::is_directory(entry.path() / packages, none)) found.push_back(entry.path() / packages);
  }
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) add_unique(to, path);
}

// Adds the site-packages of .venv in `folder` and in every folder above it.
void add_virtual_environments(fs::path folder, std::vector<fs::path>& to) {
  while (!folder.empty()) {
    add_site_packages(folder / ".venv" / "lib", "site-packages", to);
    if (folder == folder.root_path()) break;
    folder = folder.parent_path();
  }
}

bool any_exists(std::initializer_list<const char*> paths) {
  std::error_code none;
  return std::any_of(paths.begin(), paths.end(), [&](const char* path) { return fs::exists(path, none); });
}

[[noreturn]] void throw_none_installed(Hardware hardware) {
  std::vector<std::string> files;
  std::string set_up;
  for (const PluginWheel& wheel : kPluginWheels) {
    if (wheel.hardware != hardware) continue;
    files.push_back(fmt::format("{} ({})", wheel.file, wheel.package));
    set_up = wheel.set_up;
  }
  std::vector<std::string> folders;
  for (const fs::path& folder : site_packages()) folders.push_back(folder.string());
  throw ConfigError(fmt::format(
      "no PJRT plugin for {} is installed: looked for {} in {}; install one with `{}`, or name one with plugin=PATH or "
      "in the environment's FATHOM_PLUGIN",
      name(hardware), fmt::join(files, " and "),
      folders.empty() ? "no folder (there is no .venv beside or above the program)"
                      : fmt::format("{}", fmt::join(folders, ", ")),
      set_up));
}

// `origin` says who named the path.
std::string require_file(const std::string& path, const char* origin) {
  std::error_code none;
  if (!fs::is_regular_file(path, none)) {
    throw ConfigError(
        fmt::format("{}={}: there is no such file; name the shared object of a PJRT plugin", origin, path));
  }
  return path;
}

}  // namespace

// The TPU and CUDA plugins may be installed only to compile for machines elsewhere, so the devices themselves are
// looked for; libtpu would wait for minutes for the metadata server of a machine that has none.
bool shows_devices(Hardware hardware) {
  switch (hardware) {
    case Hardware::kTpu:
      return any_exists({"/dev/accel0", "/dev/vfio/0"});
    case Hardware::kGpu:
      return any_exists({"/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"});  // the last: under Windows
    case Hardware::kCpu:
      break;
  }
  return true;
}

Hardware default_hardware() {
  for (Hardware hardware : {Hardware::kTpu, Hardware::kGpu}) {
    if (shows_devices(hardware) && !installed_plugins(hardware).empty()) return hardware;
  }
  return Hardware::kCpu;
}

std::vector<fs::path> site_packages() {
  if (std::string named = process_variable("FATHOM_SITE_PACKAGES"); !named.empty()) return {named};
  std::vector<fs::path> out;
  std::error_code none;
  add_virtual_environments(fs::read_symlink("/proc/self/exe", none).parent_path(), out);
  add_virtual_environments(fs::current_path(none), out);
  for (const char* lib : {"/usr/local/lib", "/usr/lib"}) {
    add_site_packages(lib, "site-packages", out);
    add_site_packages(lib, "dist-packages", out);
  }
  return out;
}

std::string find_plugin(const std::string& flag, Hardware hardware) {
  if (!flag.empty()) return require_file(flag, "plugin");
  if (std::string named = process_variable("FATHOM_PLUGIN"); !named.empty())
    return require_file(named, "FATHOM_PLUGIN");
  std::vector<std::string> installed = installed_plugins(hardware);
  if (installed.empty()) throw_none_installed(hardware);
  return installed.front();
}

std::vector<std::string> installed_plugins(Hardware hardware) {
  std::vector<std::string> out;
  std::vector<fs::path> folders = site_packages();
  for (const PluginWheel& wheel : kPluginWheels) {
    if (wheel.hardware != hardware) continue;
    // Of several copies of one wheel the first found counts.
    std::error_code none;
    auto it = std::find_if(folders.begin(), folders.end(),
                           [&](const fs::path& folder) { return fs::is_regular_file(folder / wheel.file, none); });
    if (it != folders.end()) out.push_back((*it / wheel.file).string());
  }
  return out;
}

}  // namespace fathom
