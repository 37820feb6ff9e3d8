#include "session/gpu_memory.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// The options, or the refusal.
NamedValues options(const Environment& environment, Hardware hardware = Hardware::kGpu) {
  Problems problems;
  NamedValues out = gpu_memory_options(hardware, environment, problems);
  problems.throw_if_any();
  return out;
}

TEST(GpuMemory, IsLeftToThePluginUnlessTheEnvironmentSaysOtherwise) {
  EXPECT_TRUE(options({{"XLA_PYTHON_CLIENT_MEM_FRACTION", ""}, {"XLA_FLAGS", "x"}}).empty());
}

TEST(GpuMemory, ComesFromTheVariablesOfJax) {
  NamedValues memory = options({{"XLA_PYTHON_CLIENT_MEM_FRACTION", ".95"},
                                {"XLA_PYTHON_CLIENT_PREALLOCATE", "False"},
                                {"XLA_PYTHON_CLIENT_ALLOCATOR", "cuda_async"}});
  EXPECT_EQ(memory.size(), 3u);
  EXPECT_FLOAT_EQ(std::get<float>(memory.at("memory_fraction")), 0.95F);
  EXPECT_FALSE(std::get<bool>(memory.at("preallocate")));
  EXPECT_EQ(std::get<std::string>(memory.at("allocator")), "cuda_async");
}

TEST(GpuMemory, RefusesWordsThatMeanNothing) {
  for (auto [name, value] : {std::pair{"XLA_PYTHON_CLIENT_MEM_FRACTION", "90%"},
                             {"XLA_PYTHON_CLIENT_PREALLOCATE", "maybe"},
                             {"XLA_PYTHON_CLIENT_ALLOCATOR", "slab"}}) {
    auto refused = [name = name, value = value] { options({{name, value}}); };
    EXPECT_THAT(refused, ThrowsMessage<ConfigError>(HasSubstr(std::string(name) + "=" + value + ": must be")));
  }
}

TEST(GpuMemory, DoesNotConcernOtherHardware) {
  EXPECT_TRUE(options({{"XLA_PYTHON_CLIENT_MEM_FRACTION", "90%"}}, Hardware::kCpu).empty());
}

}  // namespace
}  // namespace fathom
