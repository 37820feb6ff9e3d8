// Scans whose stacks begin as memory that nobody has filled.
#include <gtest/gtest.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

constexpr int64_t kLength = 5;

// Two stacks of one type, forwards or backwards: 80 KiB each.
std::unique_ptr<Graph> two_stacks(bool reverse) {
  auto g = std::make_unique<Graph>();
  Value x = g->arg("x", {DType::kF32, Shape{{"d", 4096}}});
  auto done = scan(*g, {.axis = "layer", .length = kLength, .reverse = reverse}, {x}, {},
                   [&](Value, std::span<const Value> carry, std::span<const Value>) {
                     return ScanBody{.carry = {carry[0] * 2}, .stack = {carry[0], carry[0] + 1}};
                   });
  g->root().results = {done.stack[0], done.stack[1]};
  return g;
}

size_t calls_in(const std::string& text) {
  size_t count = 0;
  for (size_t at = text.find(abi::kUninitialized); at != std::string::npos;
       at = text.find(abi::kUninitialized, at + 1)) {
    ++count;
  }
  return count;
}

class EmptyStack : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
  EmitOptions with_kernels_ = with_kernels(*client_);
};

INSTANTIATE_TEST_SUITE_P(Cpu, EmptyStack, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(EmptyStack, IsFilledSliceBySlice) {
  for (bool reverse : {false, true}) {
    std::vector<HostArray> in{random_floats(Shape{{"d", 4096}}, 1)};
    auto got = run_graph(two_stacks(reverse), in, with_kernels_, client_);
    auto want = run_graph(two_stacks(reverse), in, {}, client_);
    EXPECT_EQ(max_difference(got[0], want[0]), 0);
    EXPECT_EQ(max_difference(got[1], want[1]), 0);
  }
}

TEST_P(EmptyStack, IsAnotherCallForEachStackAndNoneWithoutTheKernel) {
  EXPECT_EQ(calls_in(emit(test_program(two_stacks(false)), with_kernels_)), 2U);
  EXPECT_EQ(calls_in(emit(test_program(two_stacks(false)))), 0U);
}

// Taken for one value, the two calls would be copied apart again: 80 KiB more.
TEST_P(EmptyStack, TakesNoMoreMemoryThanTheResults) {
  Executable made = Executable::compile(client_, emit(test_program(two_stacks(false)), with_kernels_), {});
  EXPECT_LT(made.program().memory_stats().temp, kLength * 4096 * 4);
}

}  // namespace
}  // namespace fathom
