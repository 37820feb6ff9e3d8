// Where the time of train steps goes, measured on the machine that trains.
#pragma once

#include <memory>
#include <vector>

#include "drive/train_loop.h"
#include "profile/profile.h"

namespace fathom {

// Samples a stretch of steps of a trainer on the CPU. Throws ConfigError for another device.
class StepProfiler {
 public:
  // Measures the machine's limit with one large product, so nothing else may run yet.
  explicit StepProfiler(const Trainer& trainer);
  ~StepProfiler();

  // Both when the device is idle.
  void begin();
  Profile end(int64_t steps);

  bool running() const { return sampler_ != nullptr; }

 private:
  // Times and counts of the process so far.
  struct Usage;
  static Usage usage();

  std::shared_ptr<const Client> client_;
  double flops_limit_ = 0;
  std::string module_;
  std::vector<ProgramOp> ops_;
  std::unique_ptr<ThunkMap> thunks_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Usage> before_;
};

// Runs `trainer` to its end (the key `steps`) and samples all steps but the first `warm_up`. Throws ConfigError when
// the data ends before.
Profile profile_train(Trainer& trainer, int64_t warm_up);

// trainer.run(); with the key `profiler`, on the CPU, the steps that skip_first_n_steps_for_profiler and profiler_steps
// name are sampled: profile.txt and profile.json in the run folder.
TrainOutcome run_with_profiler(Trainer& trainer, const Config& config);

}  // namespace fathom
