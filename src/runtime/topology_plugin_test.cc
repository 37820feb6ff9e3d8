#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/pjrt_error.h"
#include "runtime/testing/cpu_plugins.h"
#include "runtime/topology.h"

namespace fathom {
namespace {

constexpr const char* kDouble = R"(
module @double attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    %0 = stablehlo.add %x, %x : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
})";

class TopologyTest : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Cpu, TopologyTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(TopologyTest, TopologyOfAClientKeepsItAlive) {
  auto topology = Topology::of(cpu_client(GetParam(), 3));
  EXPECT_EQ(topology->platform(), "cpu");
  EXPECT_EQ(topology->num_devices(), 3);
}

TEST_P(TopologyTest, ProgramCompilesWithoutBeingLoaded) {
  auto topology = Topology::of(cpu_client(GetParam()));
  if (GetParam() == "xla_cpu_pjrt") {
    // This plugin compiles for a live client only.
    EXPECT_THAT([&] { compile_for(topology, kDouble, {}); },
                testing::ThrowsMessage<PjrtError>(testing::HasSubstr("No compiler registered for platform cpu")));
    return;
  }
  CompiledProgram program = compile_for(topology, kDouble, {});
  topology.reset();
  EXPECT_EQ(program.memory_stats().argument, 16);
  EXPECT_EQ(program.num_outputs(), 1);
}

TEST_P(TopologyTest, UnknownMachineIsAnErrorOfThePlugin) {
  EXPECT_THROW(Topology::create(cpu_plugin(GetParam()), "v5p:4x4x8", {{"num_slices", int64_t{1}}}), PjrtError);
}

}  // namespace
}  // namespace fathom
