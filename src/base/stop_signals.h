// SIGINT, SIGTERM and SIGHUP: what they do is the same at every moment. One line on stderr says what happens, files
// that are not whole are removed, and the process returns 128 + the signal.
#pragma once

#include <string>

namespace fathom {

// From now on each of the signals ends the process at once, unless a StopWish lives. SIGHUP stays ignored where it was
// (nohup).
void watch_stop_signals();

// While one lives, the first signal only sets a flag (and says so on stderr); a second one ends the process at once.
// The handlers that were there before come back at the end. One at a time: a second object throws std::logic_error.
class StopWish {
 public:
  StopWish();
  ~StopWish();
  StopWish(const StopWish&) = delete;
  StopWish& operator=(const StopWish&) = delete;

  // The signal that came, or 0. The process then returns 128 + it.
  int signal() const;
};

// A file, or a folder if it is empty then, that is removed when a signal ends the process while this lives.
class RemovedOnStop {
 public:
  explicit RemovedOnStop(const std::string& path);
  ~RemovedOnStop();
  RemovedOnStop(const RemovedOnStop&) = delete;
  RemovedOnStop& operator=(const RemovedOnStop&) = delete;

 private:
  int slot_;  // negative: there was none, or the path is too long
};

}  // namespace fathom
