// Processes of a job load a compiled program together, or compile it together.
#pragma once

#include "job/agreement.h"
#include "runtime/compile_cache.h"

namespace fathom {

class CompileVotes : public CompileAgreement {
 public:
  // A process may read its weights much longer than another before it compiles.
  explicit CompileVotes(JobStore store) : missing_(std::move(store), "compiled", kPatience) {}

  bool all_have_it(bool own) override { return missing_.largest(programs_++, own ? 0 : 1) == 0; }

 private:
  static constexpr Timeout kPatience = std::chrono::hours(1);
  Agreement missing_;
  int64_t programs_ = 0;
};

}  // namespace fathom
