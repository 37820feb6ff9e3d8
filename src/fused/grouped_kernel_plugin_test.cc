// The grouped products through the kernels, called from compiled programs.
#include <gmock/gmock.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "fused/grouped_matmul.h"
#include "graph/region_ops.h"
#include "runtime/pjrt_error.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

constexpr int64_t kLayers = 2;
const Axis kM{"m", 8}, kE{"e", 3}, kN{"n", 5}, kK{"k", 4};

class GroupedKernel : public testing::TestWithParam<std::string> {
 protected:
  // The product and the outer product of a layer in the middle of a stack, for these group sizes.
  std::vector<HostArray> run(const std::vector<int32_t>& sizes, const EmitOptions& options) const {
    const Shape x{kM, kK}, stack{{"layer", kLayers}, kE, kN, kK}, a{kM, kN};
    auto g = std::make_unique<Graph>();
    Value rows = g->arg("x", {DType::kF32, x}), weights = g->arg("stack", {DType::kF32, stack});
    Value left = g->arg("a", {DType::kF32, a}), groups = g->arg("sizes", {DType::kS32, Shape{kE}});
    auto body = [&](Value, std::span<const Value>, std::span<const Value> slices) {
      return ScanBody{.carry = {}, .stack = {grouped_matmul(rows, slices[0], groups)}};
    };
    g->root().results = {scan(*g, {.axis = "layer", .length = kLayers}, {}, {weights}, body).stack[0],
                         grouped_outer(left, rows, groups)};
    return run_graph(std::move(g),
                     {random_floats(x, 1), random_floats(stack, 2), random_floats(a, 3), integers(Shape{kE}, sizes)},
                     options, client_);
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
  EmitOptions with_kernels_ = with_kernels(*client_);
};

INSTANTIATE_TEST_SUITE_P(Cpu, GroupedKernel, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(GroupedKernel, EqualsTheReferenceInAScanOverLayers) {
  std::vector<HostArray> got = run({3, 0, 5}, with_kernels_), want = run({3, 0, 5}, {});
  EXPECT_LT(max_difference(got[0], want[0]), 1e-5);
  EXPECT_LT(max_difference(got[1], want[1]), 1e-5);
}

TEST_P(GroupedKernel, GivesZerosBehindTheLastGroup) {
  HostArray y = run({3, 0, 2}, with_kernels_)[0];
  auto values = y.view<float>();
  const size_t layer = values.size() / kLayers, used = static_cast<size_t>(5 * kN.size);
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i] == 0, i % layer >= used) << i;
}

// A router that counts wrongly must end the step, not write behind the arrays.
TEST_P(GroupedKernel, FailsWhenTheGroupsHaveMoreRowsThanThereAre) {
  EXPECT_THAT(
      [&] {
        run({3, 4, 2}, with_kernels_);
      },
      testing::ThrowsMessage<PjrtError>(testing::HasSubstr("the group sizes sum to 9, more than the 8 rows")));
}

// Outer products of each layer of `lefts` with rows that the loop carries on; their stack under other axis names, and a
// stack of products that are also added up, which are layers of a stack and something else.
std::unique_ptr<Graph> outer_products_in_a_scan(bool reverse) {
  auto g = std::make_unique<Graph>();
  Value lefts = g->arg("a", {DType::kF32, Shape{{"layer", kLayers}, kM, kN}});
  Value rows = g->arg("x", {DType::kF32, Shape{kM, kK}}), groups = g->arg("sizes", {DType::kS32, Shape{kE}});
  Value sum = zeros(*g, {DType::kF32, Shape{kE, kN, kK}});
  auto out = scan(*g, {.axis = "layer", .length = kLayers, .reverse = reverse}, {rows, sum}, {lefts},
                  [&](Value, std::span<const Value> carry, std::span<const Value> slices) {
                    Value alone = rename(grouped_outer(slices[0], carry[0], groups), "n", "out");
                    Value shared = grouped_outer(slices[0], carry[0] * 2, groups);
                    return ScanBody{.carry = {carry[0] + 1, carry[1] + shared}, .stack = {alone, shared}};
                  });
  g->root().results = {out.stack[0], out.stack[1], out.carry[1]};
  return g;
}

TEST_P(GroupedKernel, WritesStraightIntoTheStackOfAScan) {
  const Shape a{{"layer", kLayers}, kM, kN}, x{kM, kK};
  for (bool reverse : {false, true}) {
    std::vector<HostArray> inputs{random_floats(a, 1), random_floats(x, 2), integers(Shape{kE}, {3, 0, 5})};
    std::vector<HostArray> got = run_graph(outer_products_in_a_scan(reverse), inputs, with_kernels_, client_);
    std::vector<HostArray> want = run_graph(outer_products_in_a_scan(reverse), inputs, {}, client_);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_LT(max_difference(got[i], want[i]), 1e-5) << i;
  }
  std::string text = emit(test_program(outer_products_in_a_scan(false)), with_kernels_);
  auto count = [&](const std::string& what) {
    int n = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("call_target_name = \"fathom_grouped_outer\""), 2);
  EXPECT_EQ(count("stablehlo.dynamic_update_slice"), 1) << "one stack is copied: its layers are used twice\n" << text;
}

}  // namespace
}  // namespace fathom
