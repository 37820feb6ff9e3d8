// What a scan over layers keeps for the backward pass of the fused ops: bytes of the stacks of its forward loop.
#include <gtest/gtest.h>

#include "fused/expert_output.h"
#include "fused/gated_silu.h"
#include "fused/rms_norm.h"
#include "graph/grad/gradients.h"
#include "graph/lower.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

constexpr int64_t kLayers = 3, kRows = 5, kWidth = 8;
constexpr int64_t kLayerBytes = kRows * kWidth * 4;

// `body` makes a layer's output from its input and a weight of the width.
template <typename Body>
int64_t residual_bytes(const Body& body) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, Shape{{"s", kRows}, {"d", kWidth}}});
  Value scale = g.arg("scale", {DType::kF32, Shape{{"d", kWidth}}});
  auto done = scan(g, {.axis = "l", .length = kLayers}, {x}, {},
                   [&](Value, std::span<const Value> carry, std::span<const Value>) {
                     return ScanBody{.carry = {body(carry[0], scale)}, .stack = {}};
                   });
  g.root().results = gradients(reduce_sum(done.carry[0], ""), {x, scale});
  std::unique_ptr<Graph> lowered = lower(g, {});
  int64_t bytes = 0;
  for (const Node* node : lowered->root().nodes()) {
    if (node->op != Op::kScan || node->attr<ScanAttrs>().reverse) continue;
    for (size_t i = static_cast<size_t>(node->attr<ScanAttrs>().carries); i < node->results.size(); ++i) {
      bytes += node->results[i].bytes();
    }
  }
  return bytes;
}

TEST(Residuals, GatedSiluKeepsItsOperandsAlone) {
  int64_t bytes = residual_bytes([](Value x, Value scale) { return gated_silu(x + scale, x + 2, false); });
  EXPECT_EQ(bytes, kLayers * 2 * kLayerBytes);
}

TEST(Residuals, RmsNormKeepsItsInputAlone) {
  int64_t bytes = residual_bytes([](Value x, Value scale) { return rms_norm(x, scale, "d", 1e-6); });
  EXPECT_EQ(bytes, kLayers * kLayerBytes);
}

// The rows of every choice, as wide as the model, are the largest of what it could keep.
TEST(Residuals, ExpertOutputKeepsTheTwoProjectionsAlone) {
  int64_t bytes = residual_bytes([](Value x, Value scale) {
    Graph& g = x.graph();
    const Axis tok{"tok", kRows}, k{"k", 1}, m{"m", kRows}, e{"e", 1};
    auto as_rows = [](Value v) { return rename(rename(v, "s", "m"), "d", "f"); };
    ProjectedRows rows{
        .gate = as_rows(x + scale),
        .up = as_rows(x + 2),
        .group_sizes = g.arg("sizes", {DType::kS32, Shape{e}}),
        .order = {g.arg("slot_of_row", {DType::kS32, Shape{m}}), g.arg("row_of_slot", {DType::kS32, Shape{tok, k}})}};
    Value w_down = g.arg("w_down", {DType::kF32, Shape{e, {"d", kWidth}, {"f", kWidth}}});
    Value y = expert_output(rows, w_down, g.arg("weights", {DType::kF32, Shape{tok, k}}));
    return rename(y, "tok", "s");
  });
  EXPECT_EQ(bytes, kLayers * 2 * kLayerBytes);
}

// The derivative of exp asks for its result, that of the square for the tagged value: the same numbers.
TEST(Residuals, AValueAndItsTagAreKeptOnce) {
  int64_t bytes = residual_bytes([](Value x, Value scale) {
    Value tagged = tag(exp(x), "exponential");
    return tagged * tagged + scale;
  });
  EXPECT_EQ(bytes, kLayers * kLayerBytes);
}

}  // namespace
}  // namespace fathom
