// What a step says of itself when the device is done with it.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/stopwatch.h"
#include "metrics/step_log.h"
#include "session/state_io.h"

namespace fathom {

using ArraySquares = std::vector<std::pair<std::string, float>>;

struct StepReport {
  Clock::time_point done;  // when the device was
  int64_t targets = 0;
  int stop = 0;  // the largest of the processes' wishes to stop
  NamedNumbers<float> scalars;
  // By trained array, in the state's order: sums of squares of its gradient, and of its numbers after the step.
  ArraySquares gradient_squares, parameter_squares;
  std::vector<int32_t> expert_load;  // [layer expert]; empty without experts
};

// A train step that the device may still be working on.
class LaunchedStep {
 public:
  // `results` of train_step, of the program with that signature, which outlives this. `on_done` is called when the
  // device is done, by a thread of the plugin and before wait() returns; it may be called after the end of this object.
  LaunchedStep(int64_t step, const Signature& signature, const NamedArrays& results,
               std::function<void(Clock::time_point)> on_done);
  int64_t step() const { return step_; }
  // Waits for the device.
  StepReport wait();

 private:
  int64_t step_;
  const Signature* signature_;
  std::map<std::string, HostCopy, std::less<>> copies_;
  // Set by the runtime, so that a busy host does not blur it.
  std::shared_ptr<std::promise<Clock::time_point>> done_;
};

// Throws RuntimeFault for a loss that is not finite: names the step and the arrays that are not finite, those of
// `report` and those that were not before it.
[[noreturn]] void fail_not_finite(int64_t step, const StepReport& report, const ArraySquares& squares_before);

}  // namespace fathom
