#include <gmock/gmock.h>

#include "base/error.h"
#include "config/resolve/resolve.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

Config with(Environment environment, Hardware hardware = Hardware::kGpu) {
  std::vector<std::string> keys{"model_name=deepseek3-tiny", "dataset_type=synthetic"};
  return resolve_config(keys, environment, {.found_hardware = hardware}).config;
}

TEST(GpuMemory, IsLeftToThePluginUnlessTheEnvironmentSaysOtherwise) {
  GpuMemory memory = with({{"XLA_PYTHON_CLIENT_MEM_FRACTION", ""}}).gpu_memory;
  EXPECT_FALSE(memory.fraction || memory.preallocate);
  EXPECT_EQ(memory.allocator, "");
}

TEST(GpuMemory, ComesFromTheVariablesOfJax) {
  GpuMemory memory = with({{"XLA_PYTHON_CLIENT_MEM_FRACTION", ".95"},
                           {"XLA_PYTHON_CLIENT_PREALLOCATE", "False"},
                           {"XLA_PYTHON_CLIENT_ALLOCATOR", "cuda_async"}})
                         .gpu_memory;
  EXPECT_FLOAT_EQ(memory.fraction.value(), 0.95F);
  EXPECT_FALSE(memory.preallocate.value());
  EXPECT_EQ(memory.allocator, "cuda_async");
}

TEST(GpuMemory, RefusesWordsThatMeanNothing) {
  EXPECT_THAT([] { with({{"XLA_PYTHON_CLIENT_MEM_FRACTION", "90%"}}); }, ThrowsMessage<ConfigError>(HasSubstr("90%")));
  EXPECT_THAT(
      [] {
        with({{"XLA_PYTHON_CLIENT_PREALLOCATE", "maybe"}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("maybe")));
  EXPECT_THAT([] { with({{"XLA_PYTHON_CLIENT_ALLOCATOR", "slab"}}); }, ThrowsMessage<ConfigError>(HasSubstr("slab")));
}

TEST(GpuMemory, DoesNotConcernOtherHardware) {
  EXPECT_FALSE(with({{"XLA_PYTHON_CLIENT_MEM_FRACTION", "90%"}}, Hardware::kCpu).gpu_memory.fraction);
}

}  // namespace
}  // namespace fathom
