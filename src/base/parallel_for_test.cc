#include "base/parallel_for.h"

#include <gmock/gmock.h>

#include <atomic>
#include <stdexcept>
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

TEST(ParallelFor, ThrowsWhatATaskThrewAndBeginsNoOthers) {
  std::atomic<int64_t> begun{0};
  auto task = [&](int64_t i) {
    ++begun;
    if (i == 3) throw std::runtime_error("task 3");
  };
  EXPECT_THAT([&] { parallel_for(int64_t{1} << 40, task); }, testing::ThrowsMessage<std::runtime_error>("task 3"));
  EXPECT_LT(begun, int64_t{1} << 39);
}

}  // namespace
}  // namespace fathom
