#include "eval/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fathom {
namespace {

TEST(Comparison, FailsOnNanOnEitherSide) {
  std::vector<float> nan{1.0f, std::nanf("")};
  std::vector<float> fine{1.0f, 2.0f};
  Comparison got_nan(1e9);
  got_nan.absolute(nan, fine, "x");
  EXPECT_FALSE(got_nan.ok());
  Comparison want_nan(1e9);
  want_nan.relative_to_max(fine, nan, "x");
  EXPECT_FALSE(want_nan.ok());
  Comparison one(1e9);
  one.relative(std::nan(""), 1.0, "x");
  EXPECT_FALSE(one.ok());
}

TEST(Comparison, KeepsTheWorstPlaceOverSeveralTensors) {
  std::vector<float> want{1.0f, 2.0f};
  std::vector<float> near{1.0f, 2.25f};
  std::vector<float> far{1.5f, 2.0f};
  Comparison c(1.0);
  c.absolute(near, want, "near");
  c.absolute(far, want, "far");
  EXPECT_TRUE(c.ok());
  EXPECT_EQ(c.worst(), 0.5);
  EXPECT_EQ(c.where(), "far[0]: 1.5 instead of 1");
}

TEST(Comparison, FailsOnDifferentSizes) {
  std::vector<float> two{1.0f, 2.0f};
  Comparison c(1e9);
  c.absolute(std::span(two).first(1), two, "x");
  EXPECT_FALSE(c.ok());
  EXPECT_EQ(c.where(), "x: 1 elements instead of 2");
}

TEST(Comparison, AsksForZerosWhereTheReferenceIsZero) {
  std::vector<float> zero{0.0f};
  std::vector<float> tiny{1e-30f};
  Comparison c(1.0);
  c.relative_to_max(zero, zero, "x");
  EXPECT_TRUE(c.ok());
  c.relative_to_max(tiny, zero, "x");
  EXPECT_FALSE(c.ok());
}

TEST(Comparison, OneWrongChoiceFailsWhateverTheTolerance) {
  std::vector<int32_t> a{1, 2};
  std::vector<int32_t> b{1, 3};
  Comparison c(1e9);
  c.exact(a, b, "experts");
  EXPECT_FALSE(c.ok());
}

TEST(Comparison, AFailureStaysTheWorstWhateverIsComparedAfterIt) {
  Comparison comparison(1e-3);
  comparison.fail("a: is missing");
  const std::vector<float> one = {1.0F};
  comparison.absolute(one, one, "b");
  EXPECT_GT(comparison.severity(), 1);
  EXPECT_EQ(comparison.where(), "a: is missing");
}

}  // namespace
}  // namespace fathom
