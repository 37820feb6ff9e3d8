// A sampling profiler inside the process: each thread is interrupted after every few milliseconds of its own CPU time,
// and where it stands is kept. Linux on x86-64.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "profile/stack_search.h"

namespace fathom {

// Where a thread stood.
struct Sample {
  uint64_t pc = 0;
  int thread = 0;  // Linux's id
  FoundMarks marks;
};

struct SamplerOptions {
  // Of a thread's CPU time. The kernel looks at its clock tick (1 to 10 ms): less than that is one sample a tick.
  int64_t interval_us = 1000;
  size_t max_samples = 1 << 18;
  std::vector<uint64_t> marks = {};
};

// One sampler can run at a time in a process.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options = {});
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Samples the threads that exist now; call it while they wait. Throws RuntimeFault when the kernel gives no timers.
  void start();
  void stop();

  // The innermost mark of the calling thread's callers while a sampler runs, else 0. Who hands work to other threads
  // can put it on their stacks.
  static uint64_t call_under_way();

  // After stop().
  std::span<const Sample> samples() const;
  // Interruptions that found the memory for samples full.
  int64_t lost() const;

 private:
  struct Recorder;
  void add_timer(int thread);

  std::unique_ptr<Recorder> recorder_;
  int64_t interval_us_;
  std::vector<void*> timers_;
};

}  // namespace fathom
