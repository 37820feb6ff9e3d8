// For tests that run on every CPU plugin of requirements.txt:
//   class MyTest : public testing::TestWithParam<std::string> { ... cpu_client(GetParam()) ... };
//   INSTANTIATE_TEST_SUITE_P(Cpu, MyTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "runtime/client.h"
#include "runtime/plugin_search.h"

namespace fathom {

// A part of each plugin's path. A test of a plugin that is not installed fails; it is not skipped.
inline const std::string kCpuPlugins[] = {"lammps_jax_pjrt_cpu", "xla_cpu_pjrt"};

inline const Plugin& cpu_plugin(const std::string& part) {
  for (const std::string& path : installed_plugins(Hardware::kCpu)) {
    if (path.find(part) != std::string::npos) return Plugin::load(path);
  }
  throw std::runtime_error(part + " is not installed in .venv");
}

inline std::shared_ptr<const Client> cpu_client(const std::string& part, int devices = 1) {
  return Client::create(cpu_plugin(part), {.cpu_device_count = devices});
}

}  // namespace fathom
