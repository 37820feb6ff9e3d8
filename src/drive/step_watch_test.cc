#include "drive/step_watch.h"

#include <gmock/gmock.h>

#include <future>

namespace fathom {
namespace {

using testing::HasSubstr;

constexpr Clock::time_point kStart{};

Clock::time_point after(double seconds) {
  return kStart + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// Knows steps of 1.0, 1.1, ... seconds.
StepClock clock_with(int steps, double least = 1) {
  StepClock clock(least);
  for (int i = 0; i < steps; ++i) clock.ended(1 + 0.1 * i);
  return clock;
}

TEST(StepClock, WarnsAfterTenTimesTheMedianOnce) {
  StepClock clock = clock_with(5);
  clock.expect(41, kStart);
  EXPECT_EQ(clock.deadline(), after(12));
  EXPECT_EQ(clock.warning(after(12)),
            "step 41 has taken 12 s so far, more than ten times the usual 1.2 s: waiting for the device or for data");
  EXPECT_EQ(clock.deadline(), std::nullopt);
  clock.expect(41, after(20));
  EXPECT_EQ(clock.deadline(), std::nullopt) << "the same step again";
  clock.expect(42, after(30));
  EXPECT_EQ(clock.deadline(), after(42));
}

TEST(StepClock, KnowsNothingBeforeFiveSteps) {
  StepClock clock = clock_with(4);
  clock.expect(4, kStart);
  EXPECT_EQ(clock.deadline(), std::nullopt);
}

TEST(StepClock, CountsNothingWhileNoStepIsAwaited) {
  StepClock clock = clock_with(5);
  EXPECT_EQ(clock.deadline(), std::nullopt);
  clock.expect(5, kStart);
  clock.pause();
  EXPECT_EQ(clock.deadline(), std::nullopt);
  clock.expect(5, after(100));
  EXPECT_EQ(clock.deadline(), after(112)) << "the clock starts anew";
}

TEST(StepClock, IsNotSetBackByTheEndOfAnEarlierStepThatIsToldLate) {
  StepClock clock = clock_with(5);
  clock.expect(8, after(3));
  clock.expect(7, after(2));
  EXPECT_EQ(clock.deadline(), after(15));
  EXPECT_THAT(clock.warning(after(15)), HasSubstr("step 8 has taken 12 s"));
}

TEST(StepClock, OfShortStepsWaitsForTheLeastTime) {
  StepClock clock(1);
  for (int i = 0; i < 5; ++i) clock.ended(0.001);
  clock.expect(5, kStart);
  EXPECT_EQ(clock.deadline(), after(1));
}

TEST(StepClock, FollowsStepsThatBecomeSlower) {
  StepClock clock = clock_with(5);
  for (int i = 0; i < 21; ++i) clock.ended(100);
  clock.expect(26, kStart);
  EXPECT_EQ(clock.deadline(), after(1000));
}

TEST(StepWatch, SaysAStepThatHangsWhileItLasts) {
  std::promise<std::string> said;
  int warnings = 0;
  StepWatch watch({.least = 0.001, .warn = [&](const std::string& text) {
                     if (++warnings == 1) said.set_value(text);
                   }});
  for (int i = 0; i < 5; ++i) watch.ended(0.0001);
  watch.expect(7, Clock::now());
  EXPECT_THAT(said.get_future().get(), HasSubstr("step 7 has taken "));
}

TEST(StepWatch, EndsWhileItWaits) {
  StepWatch idle;
  StepWatch waiting({.least = 1e6, .warn = {}});
  for (int i = 0; i < 5; ++i) waiting.ended(1);
  waiting.expect(5, Clock::now());
}

}  // namespace
}  // namespace fathom
