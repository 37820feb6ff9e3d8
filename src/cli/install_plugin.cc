#include "cli/install_plugin.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/environment.h"
#include "base/log.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// The source tree around the program; empty when there is none.
fs::path source_tree() {
  std::error_code none;
  fs::path folder = fs::read_symlink("/proc/self/exe", none).parent_path();
  for (; folder.has_relative_path(); folder = folder.parent_path()) {
    if (fs::exists(folder / "run", none) && fs::exists(folder / "requirements-tpu.txt", none)) return folder;
  }
  return {};
}

// Runs `./run setup tpu` in the tree and returns its exit status.
int run_setup(const fs::path& tree) {
  pid_t child = fork();
  if (child == 0) {
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execl((tree / "run").c_str(), "run", "setup", "tpu", nullptr);
    _exit(127);
  }
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

void install_plugin_if_missing(Hardware hardware) {
  // A named folder or plugin is the user's own business.
  if (!process_variable("FATHOM_SITE_PACKAGES").empty() || !process_variable("FATHOM_PLUGIN").empty()) return;
  if (hardware != Hardware::kTpu || !installed_plugins(hardware).empty()) return;
  fs::path tree = source_tree();
  if (tree.empty()) return;
  log_info("no plugin for TPUs is installed: fetching libtpu with {}/run setup tpu", tree.string());
  if (int status = run_setup(tree); status != 0) log_warning("./run setup tpu failed with status {}", status);
}

}  // namespace fathom
