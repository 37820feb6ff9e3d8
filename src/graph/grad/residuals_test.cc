#include <gtest/gtest.h>

#include "graph/grad/gradients.h"
#include "graph/lower.h"
#include "graph/ops.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

constexpr int64_t kLayers = 6;
const Axis kModel{"d", 8}, kInner{"f", 20};

// The shapes of what the forward scan of d(sum of the last carry) stacks for the backward pass.
std::vector<Shape> residuals(const std::function<Value(Value x, Value up, Value down)>& layer) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, Shape{kModel}});
  Value up = g.arg("up", {DType::kF32, Shape{{"l", kLayers}, kInner, kModel}});
  Value down = g.arg("down", {DType::kF32, Shape{{"l", kLayers}, kModel, kInner}});
  ScanResult r = scan(g, {.axis = "l", .length = kLayers}, {x}, {up, down},
                      [&](Value, std::span<const Value> carry, std::span<const Value> slices) {
                        return ScanBody{.carry = {layer(carry[0], slices[0], slices[1])}, .stack = {}};
                      });
  g.root().results = gradients(reduce_sum(r.carry[0], ""), {x, up, down});
  std::unique_ptr<Graph> lowered = lower(g, {});
  std::vector<Shape> out;
  for (Node* node : lowered->root().nodes()) {
    if (node->op != Op::kScan || node->attr<ScanAttrs>().reverse) continue;
    for (size_t i = static_cast<size_t>(node->attr<ScanAttrs>().carries); i < node->results.size(); ++i) {
      out.push_back(node->results[i].shape);
    }
  }
  return out;
}

Shape stacked(const Axis& axis) { return Shape{{"l", kLayers}, axis}; }

TEST(Residuals, ArithmeticOnAKeptValueIsDoneAgain) {
  // d_down needs u logistic(u), d_u needs u and logistic(u), d_up needs x.
  auto kept = residuals([](Value x, Value up, Value down) {
    Value u = dot(x, up, "d");
    return dot(u * logistic(u), down, "f");
  });
  EXPECT_EQ(kept.size(), 2U);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), stacked(kModel)), 1);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), stacked(kInner)), 1);
}

TEST(Residuals, NothingMoreIsKeptSoThatAValueCanBeMadeAgain) {
  // Only tanh(u) is asked for: u is not kept to make it from.
  auto kept = residuals([](Value x, Value up, Value down) { return dot(tanh(dot(x, up, "d")), down, "f"); });
  EXPECT_EQ(kept.size(), 2U);
}

TEST(Residuals, SumsAreKept) {
  auto kept = residuals([](Value x, Value up, Value down) {
    Value u = dot(x, up, "d");
    return dot(u * exp(reduce_sum(u, "f")), down, "f");
  });
  const Shape scalar{{"l", kLayers}};
  EXPECT_EQ(std::count(kept.begin(), kept.end(), scalar), 1);
}

}  // namespace
}  // namespace fathom
