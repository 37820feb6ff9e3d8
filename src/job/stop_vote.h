// Processes of a job leave after the same step: the wish to stop, exchanged through the job's store where the plugin
// has no collective between processes.
#pragma once

#include <cstdint>

#include "job/tally.h"

namespace fathom {

class StopVote {
 public:
  // `timeout`: how long one process may be behind the others.
  StopVote(JobStore store, Timeout timeout) : tally_(std::move(store), "stop", timeout) {}

  // How many processes wish to stop after this step: the same in all of them. `own` is 1 for a process that does, else
  // 0; a process alone gets it back. Every process must ask for the same steps in the same order. Throws RuntimeFault
  // when one does not vote in time, PjrtError when one is lost.
  int64_t votes(int64_t step, int64_t own) { return tally_.sum(step, own); }

 private:
  Tally tally_;
};

}  // namespace fathom
