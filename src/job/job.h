// The processes of one job, and this one's place among them.
#pragma once

#include <memory>

#include "config/config.h"
#include "runtime/client.h"
#include "runtime/key_value_store.h"

namespace fathom {

// Membership of a job of several GPU processes; a job of one has neither server nor client. Process 0 serves the store,
// and leaves last.
class Job {
 public:
  // Waits until all processes are there. Throws ConfigError when some are missing, naming them.
  explicit Job(const Config& config);
  // Says goodbye; process 0 waits for the others to do so.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // What the plugin must know to make a client whose devices are those of the whole job.
  ClientOptions client_options() const;

 private:
  Coordination place_;
  Timeout timeout_;
  std::unique_ptr<KeyValueServer> server_;
  std::shared_ptr<KeyValueClient> store_;
};

}  // namespace fathom
