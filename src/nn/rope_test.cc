#include "nn/rope.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(YarnRamp, ReleasedModelsBlendBetweenPairs10And23) {
  YarnRamp ramp = yarn_ramp({.dim = 64, .theta = 10000, .yarn = Yarn{.factor = 40, .original_length = 4096}});
  EXPECT_EQ(ramp.low, 10);
  EXPECT_EQ(ramp.high, 23);
}

TEST(YarnRamp, BordersStayWithinThePairsAndKeepFractionsWhenAsked) {
  // A short original length: even the slowest pairs turn less than 32 times.
  YarnRamp short_length = yarn_ramp({.dim = 16, .theta = 10000, .yarn = Yarn{.factor = 40, .original_length = 128}});
  EXPECT_EQ(short_length.low, 0);
  EXPECT_EQ(short_length.high, 3);
  YarnRamp exact =
      yarn_ramp({.dim = 64, .theta = 10000, .yarn = Yarn{.factor = 40, .original_length = 4096, .truncate = false}});
  EXPECT_NEAR(exact.low, 10.47, 0.01);
  EXPECT_NEAR(exact.high, 22.51, 0.01);
}

}  // namespace
}  // namespace fathom
