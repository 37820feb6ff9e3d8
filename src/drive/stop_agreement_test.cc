#include "drive/stop_agreement.h"

#include <gtest/gtest.h>

#include <map>

namespace fathom {
namespace {

constexpr int32_t kTerm = 15;

TEST(StopAgreement, AloneAWishIsFollowedAtOnce) {
  StopAgreement stop(true, {});
  EXPECT_EQ(stop.leaves(), 0);
  stop.wish(kTerm);
  EXPECT_EQ(stop.leaves(), kTerm);
}

// Two processes that run in step; each start of a step carries the wishes, the results come one step later.
TEST(StopAgreement, SeveralProcessesLeaveBeforeTheSameStep) {
  StopAgreement one(false, {}), other(false, {});
  std::map<const StopAgreement*, int> steps;
  int32_t before = 0;  // what the step under way carries
  for (int step = 0; one.leaves() == 0 || other.leaves() == 0; ++step) {
    ASSERT_LT(step, 10);
    if (step == 3) one.wish(kTerm);
    EXPECT_EQ(one.leaves(), other.leaves());
    int32_t now = std::max(one.into_step(step), other.into_step(step));
    for (StopAgreement* process : {&one, &other}) {
      ++steps[process];
      if (step > 0) process->out_of_step(before);
    }
    before = now;
  }
  EXPECT_EQ(steps[&one], steps[&other]);
  EXPECT_EQ(steps[&one], 5) << "the wish goes in with step 3, and comes out while step 4 is under way";
  EXPECT_EQ(other.leaves(), kTerm) << "the process that got no signal knows which one the other got";
}

TEST(StopAgreement, ASignalWinsOverTheEndOfTheData) {
  StopAgreement stop(true, {});
  stop.wish(StopAgreement::kDataEnded);
  stop.wish(kTerm);
  stop.wish(StopAgreement::kDataEnded);
  EXPECT_EQ(stop.leaves(), kTerm);
}

TEST(StopAgreement, AnExchangeTakesThePlaceOfTheSteps) {
  std::map<int64_t, int32_t> asked;
  StopAgreement stop(false, [&](int64_t step, int32_t own) {
    asked[step] = own;
    return step == 1 ? kTerm : own;
  });
  EXPECT_EQ(stop.into_step(0), 0);
  stop.out_of_step(2);
  EXPECT_EQ(stop.leaves(), 0) << "the results of the steps do not count then";
  stop.into_step(1);
  EXPECT_EQ(stop.leaves(), kTerm);
  EXPECT_EQ(asked.size(), 2u);
}

}  // namespace
}  // namespace fathom
