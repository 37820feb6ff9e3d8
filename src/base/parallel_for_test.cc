#include "base/parallel_for.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace fathom {
namespace {

TEST(ParallelFor, RunsEveryTaskOnce) {
  for (int64_t count : {0, 1, 2, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
    parallel_for(count, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
    for (const auto& r : runs) EXPECT_EQ(r, 1) << count;
  }
}

TEST(ParallelFor, ALoopInsideOfATaskStaysOnItsThread) {
  parallel_for(4, [](int64_t) {
    const std::thread::id outer = std::this_thread::get_id();
    parallel_for(50, [&](int64_t) { EXPECT_EQ(std::this_thread::get_id(), outer); });
  });
  // A loop of one task leaves the cores to what is inside.
  std::atomic<int> others{0}, here{0};
  parallel_for(1, [&](int64_t) {
    const std::thread::id outer = std::this_thread::get_id();
    parallel_for(2, [&](int64_t) {
      ++(std::this_thread::get_id() == outer ? here : others);
      while (std::thread::hardware_concurrency() > 1 && here + others < 2) std::this_thread::yield();
    });
  });
  EXPECT_EQ(here + others, 2);
}

TEST(ParallelFor, ThrowsWhatATaskThrewAndBeginsNoOthers) {
  std::atomic<int64_t> begun{0};
  auto task = [&](int64_t i) {
    ++begun;
    if (i == 3) throw std::runtime_error("task 3");
  };
  EXPECT_THAT([&] { parallel_for(int64_t{1} << 40, task); }, testing::ThrowsMessage<std::runtime_error>("task 3"));
  EXPECT_LT(begun, int64_t{1} << 39);
}

// Threads that took part: each task waits until as many as there may be have come, or for a while.
size_t threads_of_a_loop() {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  parallel_for(64, [&](int64_t) {
    {
      std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  return seen.size();
}

TEST(ParallelFor, UsesNoMoreThreadsThanTheLimitThatLives) {
  const int cores = parallel_threads();
  {
    ThreadLimit three(3);
    EXPECT_EQ(parallel_threads(), 3);
    EXPECT_LE(threads_of_a_loop(), 3U);
    {
      ThreadLimit one(1);
      EXPECT_EQ(threads_of_a_loop(), 1U);
    }
    EXPECT_EQ(parallel_threads(), 3);
  }
  EXPECT_EQ(parallel_threads(), cores);
}

}  // namespace
}  // namespace fathom
