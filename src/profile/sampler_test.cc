#include "profile/sampler.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <atomic>
#include <ctime>
#include <thread>

#include "base/error.h"

// Under a sanitizer a look at the whole stack is a look at memory between variables.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace fathom {
namespace {

constexpr uint64_t kMark = 0x5eed5eed0;

// A thread that works with a mark on its stack.
class Worker {
 public:
  Worker() : thread_([this] { outer(); }) {
    while (id_ == 0) std::this_thread::yield();
  }
  ~Worker() {
    stop_ = true;
    thread_.join();
  }
  int id() const { return id_; }
  void work() { working_ = true; }

 private:
  [[gnu::noinline]] void outer() {
    volatile uint64_t mark = kMark;
    id_ = static_cast<int>(syscall(SYS_gettid));
    while (!working_ && !stop_) usleep(100);
    spin();
    stop_ = mark == kMark;  // keeps it alive
  }
  [[gnu::noinline]] void spin() {
    while (!stop_) count_ = count_ + 1;
  }

  std::atomic<int> id_{0};
  std::atomic<bool> stop_{false}, working_{false};
  volatile uint64_t count_ = 0;
  std::thread thread_;
};

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Until the process has worked for that long: the machine may be busy with others.
void wait_for_cpu(double seconds) {
  double end = cpu_seconds() + seconds;
  while (cpu_seconds() < end) usleep(1000);
}

TEST(Sampler, FindsTheWorkingThreadAndItsMark) {
  Worker worker, idle;
  Sampler sampler({.marks = {kMark}});
  sampler.start();
  worker.work();
  wait_for_cpu(0.4);
  sampler.stop();
  size_t of_worker = 0, marked = 0;
  for (const Sample& s : sampler.samples()) {
    if (s.thread != worker.id()) continue;
    ++of_worker;
    marked += s.marks.own[0] == kMark ? 1 : 0;
  }
  // A clock tick is 10 ms or less; the worker has nearly all of the CPU time.
  EXPECT_GT(of_worker, 20U);
  EXPECT_GE(of_worker * 10, sampler.samples().size() * 9);
  EXPECT_GE(marked * 10, of_worker * 9);
  EXPECT_EQ(sampler.lost(), 0);
}

TEST(Sampler, WhatFindsNoRoomIsCounted) {
  Worker worker;
  Sampler sampler({.max_samples = 3});
  sampler.start();
  worker.work();
  wait_for_cpu(0.2);
  sampler.stop();
  EXPECT_EQ(sampler.samples().size(), 3U);
  EXPECT_GT(sampler.lost(), 3);
}

TEST(Sampler, NothingIsTakenAfterItStopsAndAnotherCanFollow) {
  Worker worker;
  worker.work();
  for (int i = 0; i < 2; ++i) {
    Sampler sampler;
    sampler.start();
    wait_for_cpu(0.1);
    sampler.stop();
    size_t count = sampler.samples().size();
    EXPECT_GT(count, 3U);
    wait_for_cpu(0.1);
    EXPECT_EQ(sampler.samples().size(), count);
  }
}

TEST(Sampler, TwoAtOnceAreRefused) {
  Sampler first, second;
  first.start();
  EXPECT_THROW(second.start(), RuntimeFault);
}

}  // namespace
}  // namespace fathom

#endif
