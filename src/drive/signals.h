// SIGINT and SIGTERM as a wish to stop after the current step.
#pragma once

namespace fathom {

// While one lives, the first SIGINT or SIGTERM only sets a flag (and says so on stderr); a second one ends the process
// at once, as if nobody had caught it. The handlers that were there before come back at the end. One at a time: a
// second object throws std::logic_error.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that came, or 0. The process then returns 128 + it.
  int stop_requested() const;
};

}  // namespace fathom
