#include "report/scale.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace fathom {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::Pointwise;

TEST(Scale, TicksAreOneTwoOrFiveTimesAPowerOfTen) {
  EXPECT_DOUBLE_EQ(tick_step(10, 5), 2);
  EXPECT_DOUBLE_EQ(tick_step(11, 5), 5);
  EXPECT_DOUBLE_EQ(tick_step(0.004, 5), 0.001);
  EXPECT_DOUBLE_EQ(tick_step(999'999, 5), 200'000);
  for (double span = 1e-7; span < 1e7; span *= 1.37) {
    const double count = span / tick_step(span, 5);
    EXPECT_GE(count, 1.9) << span;
    EXPECT_LE(count, 5.001) << span;
  }
}

TEST(Scale, LinearAxisHoldsItsValuesBetweenTicks) {
  const Scale scale = linear_scale(6.44, 10.49, 5);
  EXPECT_LE(scale.low, 6.44);
  EXPECT_GE(scale.high, 10.49);
  EXPECT_THAT(ticks(scale, 5), Pointwise(DoubleNear(1e-9), {6., 7., 8., 9., 10., 11.}));
  EXPECT_DOUBLE_EQ(scale.place(scale.low), 0);
  EXPECT_DOUBLE_EQ(scale.place(scale.high), 1);
}

TEST(Scale, AxisOfOneValueHasRoomAroundIt) {
  for (double value : {0.0, 5.0, -3e-9, 1e300, 4096.0}) {
    const Scale scale = linear_scale(value, value, 5);
    EXPECT_LT(scale.low, value);
    EXPECT_GT(scale.high, value);
    const double place = scale.place(value);
    EXPECT_GT(place, 0.1) << value;
    EXPECT_LT(place, 0.9) << value;
    EXPECT_LE(ticks(scale, 5).size(), 12u);
  }
}

TEST(Scale, ValuesAtTheEndOfTheirRangeHaveAnAxis) {
  constexpr double kMost = std::numeric_limits<double>::max();
  const Scale scale = linear_scale(-kMost, kMost, 5);
  EXPECT_TRUE(std::isfinite(scale.low) && std::isfinite(scale.high));
  EXPECT_NEAR(scale.place(0), 0.5, 1e-9);
  EXPECT_LE(ticks(scale, 5).size(), 12u);
}

TEST(Scale, LogarithmicAxisHasPowersOfTen) {
  const Scale scale = log_scale(0.0031, 4200);
  EXPECT_THAT(ticks(scale, 8), Pointwise(DoubleNear(1e-9), {1e-3, 1e-2, 0.1, 1., 10., 100., 1e3, 1e4}));
  EXPECT_NEAR(scale.place(1), 3.0 / 7, 1e-9);
  // Wider than there is room for: every second, third, ...; narrower: 2 and 5 times them too.
  EXPECT_LE(ticks(log_scale(1e-30, 1e30), 5).size(), 6u);
  EXPECT_THAT(ticks(log_scale(0.4, 30), 5), Pointwise(DoubleNear(1e-9), {0.5, 1., 2., 5., 10., 20.}));
}

TEST(Scale, StepsHaveWholeTicks) {
  EXPECT_THAT(step_ticks({.low = 0, .high = 3}, 5), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(step_ticks({.low = 16.5, .high = 17.5}, 5), ElementsAre(17));
  EXPECT_THAT(step_ticks({.low = 0, .high = 999'999}, 5), ElementsAre(0, 200'000, 400'000, 600'000, 800'000));
}

TEST(Scale, TickTextsAreShortAndTellTicksApart) {
  EXPECT_EQ(tick_text(0, 1), "0");
  EXPECT_EQ(tick_text(0.30000000000000004, 0.1), "0.3");
  EXPECT_EQ(tick_text(2500, 500), "2.5k");
  EXPECT_EQ(tick_text(1010, 5), "1010");
  EXPECT_EQ(tick_text(800'000, 200'000), "800k");
  EXPECT_EQ(tick_text(3'000'000, 1e6), "3M");
  EXPECT_EQ(tick_text(1.5e-5, 5e-6), "1.5e-5");
  EXPECT_EQ(tick_text(1e-3, 5e-4), "1e-3");
  EXPECT_EQ(tick_text(9.4872, 0.0002), "9.4872");
  EXPECT_EQ(tick_text(-0.5, 0.5), "-0.5");
}

TEST(Scale, NumbersInText) {
  EXPECT_EQ(number_text(6.83312), "6.833");
  EXPECT_EQ(number_text(1192.4), "1,192");
  EXPECT_EQ(number_text(9'999.7), "10,000");
  EXPECT_EQ(number_text(2.2e-4), "0.00022");
  EXPECT_EQ(number_text(1e-7), "1e-7");
  EXPECT_EQ(number_text(std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(number_text(-std::numeric_limits<double>::infinity()), "-infinite");
  EXPECT_EQ(count_text(1'234'567), "1,234,567");
  EXPECT_EQ(count_text(-999), "-999");
}

}  // namespace
}  // namespace fathom
