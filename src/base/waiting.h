// Says on stderr what is being waited for, so that nothing is silent for long.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "base/stopwatch.h"

namespace fathom {

// While one lives: "compiling train_step: 3 s so far" after 3 s, and again when half as much time has gone by as
// before, at least every minute.
class Waiting {
 public:
  explicit Waiting(std::string what);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  void watch();

  std::string what_;
  Stopwatch since_;
  std::mutex mutex_;
  std::condition_variable ends_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace fathom
