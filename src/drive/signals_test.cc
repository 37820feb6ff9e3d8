#include "drive/signals.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <stdexcept>

namespace fathom {
namespace {

TEST(StopSignals, FirstSignalOnlySetsTheFlag) {
  for (int signal : {SIGINT, SIGTERM}) {
    StopSignals stop;
    EXPECT_EQ(stop.stop_requested(), 0);
    raise(signal);
    EXPECT_EQ(stop.stop_requested(), signal);
  }
}

TEST(StopSignalsDeathTest, SecondSignalKills) {
  auto twice = [](int first, int second) {
    StopSignals stop;
    raise(first);
    raise(second);
  };
  EXPECT_EXIT(twice(SIGINT, SIGINT), testing::KilledBySignal(SIGINT), "stopping after this step");
  EXPECT_EXIT(twice(SIGINT, SIGTERM), testing::KilledBySignal(SIGTERM), "stopping after this step");
}

int handled = 0;

TEST(StopSignals, EarlierHandlersComeBack) {
  auto before = signal(SIGINT, [](int) { ++handled; });
  {
    StopSignals stop;
    raise(SIGINT);
    EXPECT_EQ(handled, 0);
  }
  raise(SIGINT);
  EXPECT_EQ(handled, 1);
  signal(SIGINT, before);
}

TEST(StopSignals, OnlyOneWatchesAtATime) {
  StopSignals stop;
  EXPECT_THROW(StopSignals{}, std::logic_error);
  raise(SIGTERM);
  EXPECT_EQ(stop.stop_requested(), SIGTERM);
}

}  // namespace
}  // namespace fathom
