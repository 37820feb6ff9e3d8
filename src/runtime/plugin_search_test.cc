#include "runtime/plugin_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

// A site-packages folder of our own, named by the environment.
class PluginSearch : public testing::Test {
 protected:
  PluginSearch() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    setenv("FATHOM_SITE_PACKAGES", folder_.c_str(), 1);
    unsetenv("FATHOM_PLUGIN");
  }
  ~PluginSearch() override {
    unsetenv("FATHOM_SITE_PACKAGES");
    unsetenv("FATHOM_PLUGIN");
    fs::remove_all(folder_);
  }
  std::string install(const std::string& file) {
    std::string path = (folder_ / file).string();
    write_file_atomically(path, "x");
    return path;
  }

  fs::path folder_ = fs::path(testing::TempDir()) / ("fathom_site_packages" + std::to_string(getpid()));
};

TEST_F(PluginSearch, FlagBeatsEnvironmentBeatsWheel) {
  std::string wheel = install("xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so");
  std::string named = install("named.so");
  std::string flag = install("flag.so");
  EXPECT_EQ(find_plugin("", Hardware::kCpu), wheel);
  setenv("FATHOM_PLUGIN", named.c_str(), 1);
  EXPECT_EQ(find_plugin("", Hardware::kCpu), named);
  EXPECT_EQ(find_plugin(flag, Hardware::kCpu), flag);
}

TEST_F(PluginSearch, NewerCpuPluginIsTheDefault) {
  std::string older = install("xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so");
  std::string newer = install("lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so");
  EXPECT_THAT(installed_plugins(Hardware::kCpu), testing::ElementsAre(newer, older));
  EXPECT_EQ(find_plugin("", Hardware::kCpu), newer);
}

TEST_F(PluginSearch, HardwareChoosesTheWheel) {
  install("lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so");
  std::string tpu = install("libtpu/libtpu.so");
  EXPECT_EQ(find_plugin("", Hardware::kTpu), tpu);
  EXPECT_THAT([] { find_plugin("", Hardware::kGpu); }, ThrowsMessage<ConfigError>(HasSubstr("jax-cuda13-pjrt")));
}

TEST_F(PluginSearch, NothingInstalledSaysWhatWasSearchedAndWhatToInstall) {
  EXPECT_THAT([] { find_plugin("", Hardware::kCpu); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr(folder_.string()), HasSubstr("lammps-jax-pjrt-cpu"),
                                               HasSubstr("xla-cpu-pjrt"), HasSubstr("./run setup"),
                                               HasSubstr("plugin=PATH"), Not(HasSubstr("\n")))));
}

TEST_F(PluginSearch, NamedFileMustExist) {
  EXPECT_THAT([] { find_plugin("gone.so", Hardware::kCpu); }, ThrowsMessage<ConfigError>(HasSubstr("plugin=gone.so")));
  setenv("FATHOM_PLUGIN", "lost.so", 1);
  EXPECT_THAT([] { find_plugin("", Hardware::kCpu); }, ThrowsMessage<ConfigError>(HasSubstr("FATHOM_PLUGIN=lost.so")));
}

TEST_F(PluginSearch, VirtualEnvironmentAboveTheWorkingFolderIsFound) {
  unsetenv("FATHOM_SITE_PACKAGES");
  fs::path packages = folder_ / ".venv/lib/python3.11/site-packages";
  fs::create_directories(packages);
  fs::create_directories(folder_ / "a" / "b");
  fs::path before = fs::current_path();
  fs::current_path(folder_ / "a" / "b");
  std::vector<fs::path> searched = site_packages();
  fs::current_path(before);
  EXPECT_THAT(searched, testing::Contains(packages));
}

}  // namespace
}  // namespace fathom
