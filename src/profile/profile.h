// Samples put together: where the CPU time of a step went.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "profile/memory_map.h"
#include "profile/program_ops.h"
#include "profile/sampler.h"
#include "profile/thunk_map.h"

namespace fathom {

// What was measured around the samples, for all steps together.
struct Measured {
  int64_t steps = 0;
  double wall_seconds = 0;
  double cpu_seconds = 0;     // of all threads
  double kernel_seconds = 0;  // the part of cpu_seconds inside Linux: page faults above all
  int64_t page_faults = 0;
  int64_t lost = 0;  // samples that found no room
  int cores = 0;
  double flops_limit = 0;  // of the machine, for a second of CPU time: one large product on all cores
};

struct ProfileRow {
  ProgramOp op;
  double cpu_seconds = 0;  // of a step
};

struct Profile {
  Measured measured;
  std::vector<ProfileRow> rows;  // one for each operation that was met, the longest first
  // CPU seconds of a step that could be given to no operation, by where the code lies: "plugin", "libc.so.6", ...
  std::vector<std::pair<std::string, double>> unknown;
  int64_t samples = 0;
  // Of `checked` samples in XLA's compiled code the stack alone names the right operation for `agreed`.
  int64_t checked = 0, agreed = 0;
  std::vector<ProgramOp> program;  // all operations, those that were not met as well

  double step_seconds() const { return measured.wall_seconds / static_cast<double>(measured.steps); }
  double cpu_seconds() const { return measured.cpu_seconds / static_cast<double>(measured.steps); }
};

// The operation that a sample belongs to, as an index into `ops`, which are ThunkMap's instructions; or kNoThunk.
//   Compiled code belongs to the thunk that holds its entry point; where several share it, the stack decides.
//   Code of this program is a kernel's, so only calls of kernels count.
//   Everything else (the plugin's products, libc) belongs to the innermost thunk on the thread's own stack, else to the
//   one on whose behalf the thread works.
int operation_of(const Sample& sample, const ThunkMap& thunks, std::span<const ProgramOp> ops,
                 const MemoryRegion* region);

// Each sample stands for the same CPU time, so that rows and unknown add up to all of it.
Profile make_profile(const Measured& measured, std::span<const Sample> samples, const ThunkMap& thunks,
                     std::vector<ProgramOp> ops);

// Rows put together under a name: CPU seconds, operations and bytes of a step.
struct Group {
  std::string name;
  double seconds[kPasses] = {};
  double flops = 0, moved = 0;
  int64_t ops = 0;

  double total() const;
};
// By ProgramOp::part or ::kind, the longest first.
std::vector<Group> grouped(const Profile& profile, std::string ProgramOp::*key);

}  // namespace fathom
