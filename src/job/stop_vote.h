// Processes of a job leave after the same step: the wish to stop, exchanged through the job's store where the plugin
// has no collective between processes.
#pragma once

#include <cstdint>

#include "job/agreement.h"

namespace fathom {

class StopVote {
 public:
  // `timeout`: how long one process may be behind the others.
  StopVote(JobStore store, Timeout timeout) : wishes_(std::move(store), "stop", timeout) {}

  // The largest wish of all processes for this step, the same in all of them; 0: nobody wishes to stop. A process alone
  // gets its own back. Every process must ask for the same steps in the same order. Throws RuntimeFault when one does
  // not answer in time, PjrtError when one is lost.
  int32_t largest(int64_t step, int32_t own) { return static_cast<int32_t>(wishes_.largest(step, own)); }

 private:
  Agreement wishes_;
};

}  // namespace fathom
