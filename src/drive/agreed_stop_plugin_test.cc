// Two processes train and exchange their wishes to stop through the store of a job: the plugins of the CPU have no
// collectives between processes. The test process itself loads no plugin: it forks.
#include <gtest/gtest.h>
#include <signal.h>

#include "base/temporary_folder.h"
#include "checkpoint/step_writer.h"
#include "config/resolve/resolve.h"
#include "drive/train_loop.h"
#include "job/job_testing.h"
#include "job/stop_vote.h"

namespace fathom {
namespace {

Config small_run(const std::string& folder) {
  const std::vector<std::string> keys = {"configs/base.yml",
                                         "hardware=cpu",
                                         "model_name=deepseek3-tiny",
                                         "override_model_config=True",
                                         "base_num_decoder_layers=1",
                                         "first_num_dense_layers=1",
                                         "vocab_size=256",
                                         "dataset_type=synthetic",
                                         "max_target_length=16",
                                         "per_device_batch_size=1",
                                         "steps=1000",
                                         "run_name=run",
                                         "enable_tensorboard=False",
                                         "jax_cache_dir=",
                                         "base_output_directory=" + folder};
  return resolve_config(keys, {}).config;
}

// Trains as one of two processes; `pauses` as Trainer::run has them. Returns the steps it did, or -1 if it does not
// know why it stopped.
int64_t train(int port, int index, const std::string& folder, const std::map<int64_t, std::function<void()>>& pauses) {
  auto client = std::make_shared<KeyValueClient>(options_for(port, index, 2));
  StopVote vote({client, index, 2}, 5 * kLong);
  Trainer trainer(small_run(folder), {.exchange = [&](int64_t step, int32_t own) { return vote.largest(step, own); }});
  TrainOutcome outcome = trainer.run(pauses);
  client->leave();
  return outcome.signal == SIGTERM ? outcome.steps : -1;
}

TEST(AgreedStop, AllProcessesLeaveAfterTheSameStep) {
  TemporaryFolder folder;
  int port = free_port();
  // The signal comes before step 3 and is seen before step 4, which all have begun by then.
  Child process_1([&] { return train(port, 1, folder / "1", {{3, [] { ::raise(SIGTERM); }}}) == 5 ? 0 : 1; });
  Child process_0([&] {
    KeyValueServer server(server_at(port, 2));
    int64_t steps = train(port, 0, folder / "0", {});
    return steps == 5 && server.wait_until_left(kLong) ? 0 : 1;
  });
  EXPECT_EQ(process_1.wait(), 0);
  EXPECT_EQ(process_0.wait(), 0);
  // Each has saved, here in a folder of its own, after the step that both left after.
  for (const char* run : {"0/run/checkpoints", "1/run/checkpoints"}) {
    EXPECT_EQ(whole_steps(folder / run), (std::vector<int64_t>{0, 4})) << run;
  }
}

}  // namespace
}  // namespace fathom
