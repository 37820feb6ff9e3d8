// How long something took.
#pragma once

#include <chrono>

namespace fathom {

using Clock = std::chrono::steady_clock;

inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Runs from its making on.
class Stopwatch {
 public:
  double seconds() const { return seconds_between(start_, Clock::now()); }

 private:
  Clock::time_point start_ = Clock::now();
};

}  // namespace fathom
