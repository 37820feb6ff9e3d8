// The processes of one job, and this one's place among them.
#pragma once

#include <memory>

#include "config/config.h"
#include "job/coordination.h"
#include "job/key_value_store.h"
#include "job/stop_vote.h"
#include "runtime/client.h"
#include "runtime/compile_cache.h"

namespace fathom {

// Membership of a job of several GPU processes; a job of one has neither server nor client. Process 0 serves the store,
// and leaves last.
class Job {
 public:
  // Waits until all processes are there. Throws ConfigError for keys and variables that do not fit together, and when
  // processes are missing, naming them.
  Job(const Config& config, const Environment& environment);
  // Says goodbye; process 0 waits for the others to do so.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // What the plugin must know to make a client whose devices are those of the whole job.
  ClientOptions client_options() const;
  // Whether all processes have a program in their compile caches; null for a process alone.
  std::shared_ptr<CompileAgreement> compile_agreement() const;
  // For one loop of steps; its wishes travel through the store.
  StopVote stop_vote() const { return StopVote(access(), timeout_); }

 private:
  JobStore access() const;

  Coordination place_;
  Timeout timeout_;
  std::unique_ptr<KeyValueServer> server_;
  std::shared_ptr<KeyValueClient> store_;
};

}  // namespace fathom
