// Processes of a job load a compiled program together, or compile it together.
#pragma once

#include "job/tally.h"
#include "runtime/compile_cache.h"

namespace fathom {

class CompileVotes : public CompileAgreement {
 public:
  // A process may read its weights much longer than another before it compiles.
  explicit CompileVotes(JobStore store) : count_(store.count), tally_(std::move(store), "compiled", kPatience) {}

  bool all_have_it(bool own) override { return tally_.sum(programs_++, own ? 1 : 0) == count_; }

 private:
  static constexpr Timeout kPatience = std::chrono::hours(1);
  int count_;
  Tally tally_;
  int64_t programs_ = 0;
};

}  // namespace fathom
