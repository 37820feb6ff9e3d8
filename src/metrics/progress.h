// A progress bar on the last line of the terminal.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/stopwatch.h"

namespace fathom {

struct ProgressState {
  int64_t done = 0;  // steps
  int64_t total = 0;
  double loss = 0;
  double tokens_per_second = 0;  // all devices together
  double seconds_left = -1;      // negative: not known yet
};

// "step 12/100 [##........]  12%  loss 5.123  1234 tokens/s  0:12:34 left", cut to `width` columns.
std::string progress_text(const ProgressState& state, int width);

// Drawn on stderr when that is a terminal; otherwise nothing is ever written. Lines of log.h wipe it, the next update
// draws it again. Not thread-safe.
class ProgressBar {
 public:
  // Steps first_step .. total_steps - 1 are to be done. `error` and `out` are file descriptors.
  ProgressBar(int64_t first_step, int64_t total_steps, int error = STDERR_FILENO, int out = STDOUT_FILENO);
  // Wipes the bar.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Steps up to `done` - 1 are complete. Redraws at most ten times a second, and always at the end.
  void update(int64_t done, double loss, double tokens_per_second);
  // A line of results on `out` (line break added), above the bar when both are on the terminal. Throws RuntimeFault
  // when it cannot be written.
  void print(std::string_view line);
  void clear();

 private:
  void draw();

  int error_;
  int out_;
  bool terminal_;
  bool out_is_terminal_;
  bool drawn_ = false;
  ProgressState state_;
  // The first update: what comes before it (compiling) says nothing about the speed.
  Clock::time_point began_;
  int64_t began_at_ = -1;
  Clock::time_point last_draw_;
};

}  // namespace fathom
