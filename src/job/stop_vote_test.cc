// Agreement on a step, with real processes: each test forks the other members of a job.
#include "job/stop_vote.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "job/job_testing.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

struct Wish {
  int process = 0;
  int64_t step = 0;
};

// The loop of one process: it leaves after the step at which somebody wished to. Returns that step.
int steps_of(const JobStore& store, const Wish& wish, int64_t steps) {
  StopVote vote(store, kLong);
  for (int64_t step = 0; step < steps; ++step) {
    bool wishes = store.index == wish.process && step >= wish.step;
    if (vote.largest(step, wishes ? 1 : 0) > 0) return static_cast<int>(step);
  }
  return static_cast<int>(steps);
}

int member(int port, int index, int count, const Wish& wish, int64_t steps) {
  auto client = std::make_shared<KeyValueClient>(options_for(port, index, count));
  int left = steps_of({client, index, count}, wish, steps);
  client->leave();
  return left;
}

TEST(StopVote, AllLeaveAfterTheStepAtWhichOneWishesTo) {
  for (int who : {0, 2}) {
    int port = free_port();
    Wish wish{who, 17};
    Child one([&] { return member(port, 1, 3, wish, 100); }), two([&] { return member(port, 2, 3, wish, 100); });
    KeyValueServer server(server_at(port, 3));
    EXPECT_EQ(member(port, 0, 3, wish, 100), 17);
    EXPECT_EQ(one.wait(), 17);
    EXPECT_EQ(two.wait(), 17);
  }
}

TEST(StopVote, TheLargestWishCounts) {
  int port = free_port();
  auto wishes = [port](int index) {
    auto client = std::make_shared<KeyValueClient>(options_for(port, index, 3));
    StopVote vote({client, index, 3}, kLong);
    int32_t first = vote.largest(0, index + 1), second = vote.largest(1, 9 - index), third = vote.largest(2, 0);
    client->leave();
    return first * 100 + second * 10 + third;
  };
  Child one([&] { return wishes(1) == 390 ? 0 : 1; }), two([&] { return wishes(2) == 390 ? 0 : 1; });
  KeyValueServer server(server_at(port, 3));
  EXPECT_EQ(wishes(0), 390);
  EXPECT_EQ(one.wait(), 0);
  EXPECT_EQ(two.wait(), 0);
}

TEST(StopVote, OldVotesDoNotPileUpInTheStore) {
  int port = free_port();
  Wish never{-1, 0};
  Child one([&] { return member(port, 1, 2, never, 2000) == 2000 ? 0 : 1; });
  KeyValueServerOptions options = server_at(port, 2);
  options.limits.stored = 1000;  // a handful of keys
  KeyValueServer server(options);
  EXPECT_EQ(member(port, 0, 2, never, 2000), 2000);
  EXPECT_EQ(one.wait(), 0);
}

TEST(StopVote, ProcessThatDoesNotVoteIsNamed) {
  int port = free_port();
  Child silent([port] {
    KeyValueClient client(options_for(port, 1, 2));
    client.get("done", kLong);
    client.leave();
    return 0;
  });
  KeyValueServer server(server_at(port, 2));
  auto client = std::make_shared<KeyValueClient>(options_for(port, 0, 2));
  StopVote vote({client, 0, 2}, kShort);
  EXPECT_THAT([&] { vote.largest(3, 0); },
              ThrowsMessage<RuntimeFault>(AllOf(HasSubstr("for process 1"), HasSubstr("stop 3"))));
  client->put("done", "");
  client->leave();
  EXPECT_EQ(silent.wait(), 0);
}

TEST(StopVote, ProcessAloneGetsItsOwnWish) {
  StopVote vote({}, kLong);
  EXPECT_EQ(vote.largest(0, 0), 0);
  EXPECT_EQ(vote.largest(1, 1), 1);
}

}  // namespace
}  // namespace fathom
