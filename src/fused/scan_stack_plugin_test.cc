// Scans whose stacked results start as unwritten memory, beside the same scans started with zeros.
#include <gmock/gmock.h>

#include "../tests/support/run_graph.h"
#include "graph/grad/gradients.h"
#include "graph/region_ops.h"
#include "kernels/abi.h"
#include "kernels/ffi/handlers.h"
#include "runtime/ffi_table.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

class UnwrittenStacks : public testing::TestWithParam<std::string> {
 protected:
  UnwrittenStacks() {
    std::vector<FfiHandler> handlers;
    for (const KernelHandler& k : cpu_kernel_handlers()) handlers.push_back({k.name, k.handler});
    register_handlers(client_->plugin(), handlers);
    options_.target.kernels.emplace_back(abi::kUnwritten);
  }

  // Two stacks of the same type from the forward scan, and the gradients of its reverse.
  static std::unique_ptr<Graph> graph() {
    auto g = std::make_unique<Graph>();
    const Axis l{"l", 5}, i{"i", 300};
    Value x = g->arg("x", {DType::kF32, Shape{i}}), w = g->arg("w", {DType::kF32, Shape{l, i}});
    ScanResult r = scan(*g, {.axis = "l", .length = 5}, {x}, {w},
                        [](Value, std::span<const Value> carry, std::span<const Value> slice) {
                          Value next = tanh(carry[0] * slice[0]);
                          return ScanBody{.carry = {next}, .stack = {next + 1.0, next * 2.0}};
                        });
    auto d = gradients(reduce_sum(r.carry[0] * r.carry[0], "") + reduce_sum(r.stack[0] * r.stack[1], ""), {x, w});
    g->root().results = {r.carry[0], r.stack[0], r.stack[1], d[0], d[1]};
    return g;
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
  EmitOptions options_;
};

TEST_P(UnwrittenStacks, EverySliceIsWrittenBeforeItIsRead) {
  const Shape x{{"i", 300}}, w{{"l", 5}, {"i", 300}};
  std::vector<HostArray> inputs{random_floats(x, 1), random_floats(w, 2)};
  auto got = run_graph(graph(), inputs, options_, client_);
  auto want = run_graph(graph(), inputs, {}, client_);
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(max_difference(got[i], want[i]), 0) << "result " << i;
}

TEST_P(UnwrittenStacks, NoTwoStartsAreTheSameCall) {
  std::string text = emit(test_program(graph()), options_);
  for (const char* id : {"id = 0 : i64", "id = 1 : i64", "id = 2 : i64"}) {
    size_t first = text.find(id);
    ASSERT_NE(first, std::string::npos) << id;
    EXPECT_EQ(text.find(id, first + 1), std::string::npos) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, UnwrittenStacks, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

}  // namespace
}  // namespace fathom
