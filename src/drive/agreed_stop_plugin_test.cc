// Two real processes leave after the same step when one of them is told to stop. The CPU plugins have no collectives
// between processes, so each trains a replica of its own, and the wishes travel through the job's store instead.
#include <gtest/gtest.h>
#include <signal.h>

#include "base/temporary_folder.h"
#include "config/resolve/resolve.h"
#include "drive/train_loop.h"
#include "job/job_testing.h"
#include "job/stop_vote.h"

namespace fathom {
namespace {

constexpr int kSteps = 200;     // far more than are run
constexpr int kSignalStep = 5;  // before which the signal comes

// Exit code of a process that left after `steps` steps because of `signal`.
int code(const TrainOutcome& outcome) {
  return outcome.signal == SIGTERM && outcome.steps < kSteps ? static_cast<int>(outcome.steps) : 255;
}

// One process of two; `signalled`: it gets SIGTERM, the other nothing.
TrainOutcome member(int port, int index, bool signalled) {
  TemporaryFolder folder;
  std::vector<std::string> keys = {"configs/base.yml",
                                   "model_name=deepseek3-tiny",
                                   "override_model_config=True",
                                   "base_num_decoder_layers=1",
                                   "first_num_dense_layers=1",
                                   "vocab_size=64",
                                   "dataset_type=synthetic",
                                   "run_name=stop",
                                   "base_output_directory=" + folder.path(),
                                   "enable_tensorboard=False",
                                   "per_device_batch_size=1",
                                   "max_target_length=16",
                                   "jax_cache_dir=",
                                   "steps=" + std::to_string(kSteps)};
  Config config = resolve_config(keys, process_environment()).config;
  auto client = std::make_shared<KeyValueClient>(options_for(port, index, 2));
  auto vote = std::make_shared<StopVote>(JobStore{client, index, 2}, kLong);
  Trainer trainer(config, [vote](int64_t step, int32_t own) { return vote->largest(step, own); });
  std::map<int64_t, std::function<void()>> pauses;
  if (signalled) pauses[kSignalStep] = [] { ::raise(SIGTERM); };
  TrainOutcome outcome = trainer.run(pauses);
  client->leave();
  return outcome;
}

void expect_agreement(int signalled) {
  const int port = free_port();
  Child other([&] { return code(member(port, 1, signalled == 1)); });
  KeyValueServer server(server_at(port, 2));
  const TrainOutcome here = member(port, 0, signalled == 0);
  EXPECT_EQ(here.signal, SIGTERM) << "also in the process that got no signal";
  EXPECT_GT(here.steps, kSignalStep);
  EXPECT_LT(here.steps, kSignalStep + 4);
  EXPECT_EQ(other.wait(), here.steps) << "both leave after the same step";
}

// A test of its own each: the process must have no threads yet when it forks.
TEST(AgreedStop, WhenProcessZeroIsSignalled) { expect_agreement(0); }

TEST(AgreedStop, WhenTheOtherProcessIsSignalled) { expect_agreement(1); }

}  // namespace
}  // namespace fathom
