// For tests of kernels: tasks on several threads, and every instruction set of the machine.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <thread>
#include <vector>

#include "kernels/parallel.h"

namespace fathom {

// Tasks on `count` threads, taken in reverse, so that an order or a thread that matters is seen.
class Threads : public Parallel {
 public:
  explicit Threads(int64_t count) : count_(count) {}
  void run(int64_t count, const std::function<void(int64_t)>& task) override {
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < count_; ++t) {
      threads.emplace_back([this, t, count, &task] {
        for (int64_t i = count - 1 - t; i >= 0; i -= count_) task(i);
      });
    }
    for (std::thread& t : threads) t.join();
  }

 private:
  int64_t count_;
};

// Calls f with the kernels held to each instruction set that this machine has and the build contains.
template <typename F>
void on_every_target(const F& f) {
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    f();
    if (testing::Test::HasFatalFailure()) break;
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace fathom
