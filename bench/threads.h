// For benchmarks: a kernel's tasks spread over threads that live as long as one call.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "kernels/parallel.h"

namespace fathom {

class Threads : public Parallel {
 public:
  explicit Threads(unsigned count) : count_(count) {}
  void run(int64_t count, const std::function<void(int64_t)>& task) override {
    std::atomic<int64_t> next{0};
    auto work = [&] {
      for (int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) task(i);
    };
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < count_; ++i) helpers.emplace_back(work);
    work();
  }

 private:
  unsigned count_;
};

inline Threads all_cores() { return Threads(std::thread::hardware_concurrency()); }

}  // namespace fathom
