#include "report/series.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fathom {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Series, FewValuesStayAsTheyAre) {
  Series series(8);
  for (int64_t step = 100; step < 108; ++step) series.add(step, static_cast<double>(step));
  ASSERT_EQ(series.buckets().size(), 8u);
  EXPECT_EQ(series.bucket_steps(), 1);
  EXPECT_EQ(series.buckets()[3].first, 103);
  EXPECT_EQ(series.buckets()[3].least, 103.0);
  EXPECT_EQ(series.buckets()[3].greatest, 103.0);
}

TEST(Series, OneSpikeInAMillionStepsIsKeptInBoundedMemory) {
  Series series(100);
  constexpr int64_t kSteps = 1'000'000, kSpike = 654'321, kDip = 17;
  for (int64_t step = 0; step < kSteps; ++step) {
    series.add(step, step == kSpike ? 50.0 : step == kDip ? -3.0 : 2.0);
  }
  EXPECT_LE(series.buckets().size(), 100u);
  EXPECT_GE(series.buckets().size(), 50u);
  EXPECT_EQ(series.greatest().step, kSpike);
  EXPECT_EQ(series.least().step, kDip);
  int64_t values = 0;
  int spikes = 0, dips = 0;
  for (const Bucket& bucket : series.buckets()) {
    values += bucket.finite;
    spikes += bucket.greatest == 50.0 && bucket.first <= kSpike && kSpike <= bucket.last ? 1 : 0;
    dips += bucket.least == -3.0 && bucket.first <= kDip && kDip <= bucket.last ? 1 : 0;
  }
  EXPECT_EQ(values, kSteps);
  EXPECT_EQ(spikes, 1);
  EXPECT_EQ(dips, 1);
  EXPECT_DOUBLE_EQ(series.sum(), 2.0 * (kSteps - 2) + 50 - 3);
}

TEST(Series, StepsFarApartAreNoMoreThanTheBuckets) {
  Series series(4);
  for (int64_t step : {int64_t{5}, int64_t{6}, int64_t{1} << 40, (int64_t{1} << 52) + 1}) series.add(step, 1);
  EXPECT_LE(series.buckets().size(), 4u);
  EXPECT_EQ(series.buckets().front().first, 5);
  EXPECT_EQ(series.buckets().back().last, (int64_t{1} << 52) + 1);
}

TEST(Series, WhatIsNotFiniteIsCountedApart) {
  Series series(2);
  const double values[] = {1, kNan, 3, kInfinity, -kInfinity, 5};
  for (int64_t step = 0; step < 6; ++step) series.add(step, values[step]);
  EXPECT_EQ(series.finite(), 3);
  EXPECT_EQ(series.nan(), 1);
  EXPECT_EQ(series.infinite(), 2);
  EXPECT_EQ(series.first_broken().step, 1);
  EXPECT_EQ(series.greatest().value, 5);
  ASSERT_EQ(series.buckets().size(), 2u);  // 0 to 3, 4 and 5
  EXPECT_TRUE(series.buckets()[0].broken());
  EXPECT_EQ(series.buckets()[0].mean(), 2.0);
  EXPECT_EQ(series.buckets()[1].infinite, 1);
  EXPECT_EQ(series.buckets()[1].least, 5.0);
}

TEST(Series, MeanReachesToBothSidesAlike) {
  Series series(100);
  // A line that falls: a mean that reached to one side alone would lag behind it at the ends.
  for (int64_t step = 0; step < 30; ++step) series.add(step, 100.0 - static_cast<double>(step));
  const std::vector<double> means = moving_mean(series, 5);
  ASSERT_EQ(means.size(), 30u);
  for (size_t i = 0; i < means.size(); ++i) EXPECT_NEAR(means[i], 100.0 - static_cast<double>(i), 1e-12) << i;
}

TEST(Series, MeanLeavesOutWhatIsNotFiniteAndStepsThatAreNotThere) {
  Series series(100);
  series.add(0, 1);
  series.add(1, kNan);
  series.add(2, 4);
  series.add(12, 100);  // further away than the mean reaches
  series.add(14, 7);
  const std::vector<double> means = moving_mean(series, 2);
  EXPECT_EQ(means[1], 2.5);
  EXPECT_EQ(means[2], 2.5);
  EXPECT_EQ(means[3], 53.5);
}

TEST(Series, AreTheSameByEveryValue) {
  Series a(8), b(8), c(8);
  for (int64_t step = 0; step < 5; ++step) {
    a.add(step, 1.5);
    b.add(step, 1.5);
    c.add(step, step == 4 ? 1.25 : 1.5);
  }
  EXPECT_TRUE(same_values(a, b));
  EXPECT_FALSE(same_values(a, c));
}

}  // namespace
}  // namespace fathom
