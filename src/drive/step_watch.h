// A step that does not end is said while it lasts.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/stopwatch.h"

namespace fathom {

// Which step is awaited, and how long it usually takes.
class StepClock {
 public:
  // Steps that take less than `least` seconds are never too long.
  explicit StepClock(double least) : least_(least) {}

  // A step took so many seconds.
  void ended(double seconds);
  // `step` is awaited, since a moment. Of an earlier one than before nothing is to be known any more: the ends of steps
  // are told by several threads.
  void expect(int64_t step, Clock::time_point since);
  // None is.
  void pause() { awaited_ = false; }

  // When the awaited step will have taken ten times the median of the last steps; nothing while too few are known, and
  // once warning() has been called for it.
  std::optional<Clock::time_point> deadline() const;
  // What is to be said of the awaited step.
  std::string warning(Clock::time_point now);

 private:
  double usual() const;

  double least_;
  std::deque<double> seconds_;  // of the last steps
  bool awaited_ = false;
  int64_t step_ = -1, told_ = -1;
  Clock::time_point since_;
};

// A StepClock with a thread that warns, once for each step.
class StepWatch {
 public:
  struct Options {
    double least = 1;                              // seconds
    std::function<void(const std::string&)> warn;  // log_warning unless given
  };
  StepWatch() : StepWatch(Options{}) {}
  explicit StepWatch(Options options);
  ~StepWatch();
  StepWatch(const StepWatch&) = delete;
  StepWatch& operator=(const StepWatch&) = delete;

  // As those of StepClock.
  void ended(double seconds);
  void expect(int64_t step, Clock::time_point since);
  void pause();

 private:
  void watch();

  std::function<void(const std::string&)> warn_;
  std::mutex mutex_;
  std::condition_variable changes_;
  StepClock clock_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace fathom
