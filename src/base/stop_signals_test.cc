#include "base/stop_signals.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "base/temporary_folder.h"

namespace fathom {
namespace {

TEST(StopWish, FirstSignalOnlySetsTheFlag) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    StopWish stop;
    EXPECT_EQ(stop.signal(), 0);
    raise(signal);
    EXPECT_EQ(stop.signal(), signal);
  }
}

TEST(StopWishDeathTest, SecondSignalEndsTheProcessWithItsNumber) {
  auto twice = [](int first, int second) {
    StopWish stop;
    raise(first);
    raise(second);
  };
  EXPECT_EXIT(twice(SIGINT, SIGINT), testing::ExitedWithCode(128 + SIGINT), "stopping after this step.*\n.*\n.*lost");
  EXPECT_EXIT(twice(SIGINT, SIGTERM), testing::ExitedWithCode(128 + SIGTERM), "stopping after this step");
}

TEST(StopSignalsDeathTest, WithoutAWishASignalEndsTheProcessAndLeavesNothingHalfWritten) {
  TemporaryFolder folder;
  const std::string run = folder / "run", half = run + "/half", full = folder / "full";
  std::filesystem::create_directories(run);
  std::filesystem::create_directories(full);
  for (const std::string& file : {half, full + "/kept"}) std::ofstream(file) << "x";
  auto stopped = [&] {
    watch_stop_signals();
    RemovedOnStop a(run), b(half), c(full);
    { RemovedOnStop whole(full + "/kept"); }
    raise(SIGTERM);
  };
  EXPECT_EXIT(stopped(), testing::ExitedWithCode(128 + SIGTERM), "stopped by a signal");
  EXPECT_FALSE(std::filesystem::exists(run));
  EXPECT_TRUE(std::filesystem::exists(full + "/kept"));
}

TEST(StopSignalsDeathTest, HangUpStaysIgnoredUnderNohup) {
  auto hang_up = [] {
    ::signal(SIGHUP, SIG_IGN);
    watch_stop_signals();
    raise(SIGHUP);
    std::exit(0);
  };
  EXPECT_EXIT(hang_up(), testing::ExitedWithCode(0), "");
}

int handled = 0;

TEST(StopWish, EarlierHandlersComeBack) {
  auto before = signal(SIGINT, [](int) { ++handled; });
  {
    StopWish stop;
    raise(SIGINT);
    EXPECT_EQ(handled, 0);
  }
  raise(SIGINT);
  EXPECT_EQ(handled, 1);
  signal(SIGINT, before);
}

TEST(StopWish, OnlyOneWatchesAtATime) {
  StopWish stop;
  EXPECT_THROW(StopWish{}, std::logic_error);
  raise(SIGTERM);
  EXPECT_EQ(stop.signal(), SIGTERM);
}

}  // namespace
}  // namespace fathom
