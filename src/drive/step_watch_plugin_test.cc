// A step of a run that hangs, until the run has said so.
#include <gmock/gmock.h>

#include <thread>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "config/resolve/resolve.h"
#include "drive/train_loop.h"

namespace fathom {
namespace {

using testing::ContainsRegex;

constexpr int64_t kHangs = 8;

TEST(StepWatch, RunWarnsOfAStepWhileItHangsAndGoesOn) {
  TemporaryFolder folder;
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
                                         "steps=12",
                                         "run_name=run",
                                         "enable_checkpointing=False",
                                         "enable_tensorboard=False",
                                         "jax_cache_dir=",
                                         "base_output_directory=" + folder.path()};
  const std::string log = folder / "run/log.txt", warning = fmt::format("step {} has taken ", kHangs);
  // The wish to stop is exchanged before a step is launched: the device has done the one before by the time it hangs.
  const WishExchange exchange = [&](int64_t step, int32_t own) {
    while (step == kHangs && read_file(log).find(warning) == std::string::npos) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return own;
  };
  {
    Trainer trainer(resolve_config(keys, {}).config, {.exchange = exchange});
    EXPECT_EQ(trainer.run().steps, 12);
  }
  const std::string said = read_file(log);
  EXPECT_THAT(said, ContainsRegex("\nW.* step 8 has taken .* s so far, more than ten times the usual "));
  EXPECT_EQ(said.find(warning), said.rfind(warning)) << said;
}

}  // namespace
}  // namespace fathom
