// A sampling profiler inside the process: each thread is interrupted after every few milliseconds of its own CPU time,
// and where it stands is kept. Linux on x86-64.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace fathom {

// Where a thread stood, and which marks (addresses that the caller is looking for) led there.
struct Sample {
  uint64_t pc = 0;
  int32_t thread = 0;  // Linux's id
  // On the thread's own stack, the innermost first; zeros at the end.
  std::array<uint64_t, 4> own = {};
  // Found through a pointer into another thread's stack, the innermost pointer first: that thread waits for the work
  // done here, or shares in it, and the mark stands above that place.
  std::array<uint64_t, 2> other = {};
};

struct SamplerOptions {
  // Of a thread's CPU time. The kernel looks at its clock tick (1 to 10 ms), so that less than that is one sample a
  // tick.
  int64_t interval_us = 1000;
  size_t max_samples = 1 << 18;
  std::vector<uint64_t> marks = {};
};

// One sampler can run at a time in a process. The threads that exist at start() are sampled.
class Sampler {
 public:
  // Throws RuntimeFault when the kernel gives no timers.
  explicit Sampler(const SamplerOptions& options = {});
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  void start();
  void stop();

  // After stop().
  std::span<const Sample> samples() const;
  // Interruptions that found the memory for samples full.
  int64_t lost() const;

 private:
  struct Recorder;
  void arm(int thread);

  std::unique_ptr<Recorder> recorder_;
  SamplerOptions options_;
  std::vector<void*> timers_;
};

}  // namespace fathom
