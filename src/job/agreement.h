// A number on which all processes of a job agree, over its key-value store: where no collective is at hand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "job/key_value_store.h"

namespace fathom {

// This process's access to the store of its job.
struct JobStore {
  std::shared_ptr<KeyValueClient> client;  // null: the process is alone
  int index = 0;
  int count = 1;
};

// Process 0 gathers the numbers of a round and announces the largest, so a round costs as many messages as there are
// processes, and its keys are gone when the next one is over. Not thread-safe.
class Agreement {
 public:
  // `name` begins the keys: another one for each agreement of a job. `timeout`: how long a process may be behind the
  // others.
  Agreement(JobStore store, std::string name, Timeout timeout);

  // The largest of what the processes give for this round; returns when all have. Every process must call it with the
  // same rounds in the same order, none twice. Throws RuntimeFault naming the process that is not there in time,
  // PjrtError when one is lost.
  int64_t largest(int64_t round, int64_t own);

 private:
  int64_t gather(int64_t round, int64_t own);
  int64_t read(const std::string& key, Timeout timeout, int process, int64_t round);
  std::string key(int64_t round, const std::string& what) const;

  JobStore store_;
  std::string name_;
  Timeout timeout_;
  std::string announced_;  // the key of the last result, while it is in the store
};

}  // namespace fathom
