#include <gmock/gmock.h>

#include <cmath>

#include "../tests/support/run_graph.h"
#include "fused/rms_norm.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "nn/rope.h"

namespace fathom {
namespace {

// V3's settings: the ramp goes from pair 10 to pair 23 of 32.
RopeOptions released() { return {.dim = 64, .theta = 10000, .yarn = Yarn{.factor = 40, .original_length = 4096}}; }

// Radians a position of pair i.
double turn(const RopeOptions& o, int64_t i) {
  double full = std::pow(o.theta, -2.0 * static_cast<double>(i) / static_cast<double>(o.dim));
  auto [low, high] = yarn_ramp(o);
  double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
  return full / o.yarn->factor * ramp + full * (1 - ramp);
}

TEST(Rope, TablesFollowYarnAtShortAndLongPositions) {
  const Axis b{"b", 1}, s{"s", 4};
  auto g = std::make_unique<Graph>();
  RopeTables tables = rope_tables(g->arg("positions", {DType::kS32, Shape{b, s}}), released());
  g->root().results = {tables.cos, tables.sin};
  std::vector<int32_t> positions{0, 1, 159, 4000};
  auto out = run_graph(std::move(g), {integers(Shape{b, s}, positions)});
  for (size_t p = 0; p < 4; ++p) {
    for (int64_t i = 0; i < 32; ++i) {
      double angle = positions[p] * turn(released(), i);
      size_t at = p * 32 + static_cast<size_t>(i);
      // Half a unit in the last place of the angle and of the frequency, each in float32.
      double tolerance = 3e-7 + 2.5e-7 * angle;
      EXPECT_NEAR(out[0].view<float>()[at], std::cos(angle), tolerance)
          << "position " << positions[p] << ", pair " << i;
      EXPECT_NEAR(out[1].view<float>()[at], std::sin(angle), tolerance)
          << "position " << positions[p] << ", pair " << i;
    }
  }
}

TEST(Rope, RotatesNeighbouringPairsAndGivesHalves) {
  const Axis b{"b", 1}, s{"s", 2}, w{"w", 4};
  auto g = std::make_unique<Graph>();
  RopeOptions plain{.dim = 4, .theta = 100};  // pairs turn by 1 and 0.1 a position
  RopeTables tables = rope_tables(g->arg("positions", {DType::kS32, Shape{b, s}}), plain);
  g->root().results = {rotate_pairs(g->arg("x", {DType::kF32, Shape{b, s, w}}), "w", tables)};
  auto out = run_graph(std::move(g), {integers(Shape{b, s}, {0, 3}), floats(Shape{b, s, w}, {1, 2, 3, 4, 1, 2, 3, 4})});
  const float c0 = std::cos(3.0F), s0 = std::sin(3.0F), c1 = std::cos(0.3F), s1 = std::sin(0.3F);
  HostArray want =
      floats(Shape{b, s, w}, {1, 3, 2, 4, 1 * c0 - 2 * s0, 3 * c1 - 4 * s1, 1 * s0 + 2 * c0, 3 * s1 + 4 * c1});
  EXPECT_LT(max_difference(out[0], want), 1e-5);
}

TEST(RmsNorm, UsesItsEpsilonAndScale) {
  const Axis s{"s", 1}, d{"d", 4};
  auto g = std::make_unique<Graph>();
  Value x = g->arg("x", {DType::kF32, Shape{s, d}}), scale = g->arg("scale", {DType::kF32, Shape{d}});
  g->root().results = {rms_norm(x, scale, "d", 0.5)};
  auto out = run_graph(std::move(g), {floats(Shape{s, d}, {1, 2, -1, 1}), floats(Shape{d}, {1, 2, 3, 4})});
  float r = 1 / std::sqrt(7.0F / 4 + 0.5F);
  EXPECT_LT(max_difference(out[0], floats(Shape{s, d}, {r, 4 * r, -3 * r, 4 * r})), 1e-6);
}

TEST(Attention, SeesOnlyEarlierKeysOfItsSegment) {
  const Axis b{"b", 1}, s{"s", 4}, t{"t", 4}, h{"h", 1}, w{"w", 1}, u{"u", 1};
  auto g = std::make_unique<Graph>();
  AttentionInputs in{g->arg("q", {DType::kF32, Shape{b, s, h, w}}), g->arg("k", {DType::kF32, Shape{b, t, h, w}}),
                     g->arg("v", {DType::kF32, Shape{b, t, h, u}}), g->arg("segments", {DType::kS32, Shape{b, s}})};
  g->root().results = {plain_attention(in),
                       transpose(flash_attention(in.q, in.k, in.v, in.segments, {.block = 3}), "b h s u")};
  // Equal scores everywhere: each row is the mean of the values it sees.
  auto out =
      run_graph(std::move(g), {floats(Shape{b, s, h, w}, {0, 0, 0, 0}), floats(Shape{b, t, h, w}, {1, 2, 3, 4}),
                               floats(Shape{b, t, h, u}, {10, 20, 40, 80}), integers(Shape{b, s}, {1, 1, 2, 2})});
  HostArray want = floats(Shape{b, h, s, u}, {10, 15, 40, 60});
  EXPECT_LT(max_difference(out[0], want), 1e-5);
  EXPECT_LT(max_difference(out[1], want), 1e-5);
}

}  // namespace
}  // namespace fathom
