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

}  // namespace
}  // namespace fathom
