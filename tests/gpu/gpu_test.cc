// fathom on an NVIDIA GPU, from outside. The numbers are compared by `verify`, whose references come from PyTorch.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "../train/train_run.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

using testing::HasSubstr;

class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/dev/nvidia0")) GTEST_SKIP() << "this machine has no NVIDIA GPU (/dev/nvidia0)";
    if (installed_plugins(Hardware::kGpu).empty()) {
      GTEST_SKIP() << "the CUDA plugin is not installed: ./run setup cuda";
    }
  }
};

void expect_verified(const std::string& folder) {
  Process process({"verify", folder, "hardware=gpu"});
  EXPECT_EQ(process.wait(), 0) << process.out() << process.err();
  EXPECT_THAT(process.out(), HasSubstr(" 0 failed"));
}

TEST_F(Gpu, ComputesWhatTheReferencesOfDeepseekV3Hold) { expect_verified("tests/data/deepseek_v3"); }

TEST_F(Gpu, ComputesWhatTheReferencesOfDeepseekV2Hold) { expect_verified("tests/data/deepseek_v2"); }

TEST_F(Gpu, IsFoundByItselfAndLearnsInBfloat16) {
  TrainRun run({"hardware=", "dtype=bfloat16", "reuse_example_batch=1", "steps=8"});
  std::vector<double> losses = run.losses();
  ASSERT_EQ(losses.size(), 8u) << run.outcome().err;
  EXPECT_THAT(run.outcome().err, HasSubstr("devices    cuda x "));
  EXPECT_LT(losses.back(), losses.front() - 0.1);
}

TEST_F(Gpu, RunEndsAfterAWholeStepWhenTold) {
  TemporaryFolder output;
  Words args = keys_with({"hardware=gpu", "steps=1000000", "dataset_type=synthetic"}, output.path());
  args.insert(args.begin(), {"train", "configs/base.yml"});
  Process process(args);
  auto steps_done = [&] {
    std::string out = process.out();
    return std::count(out.begin(), out.end(), '\n');
  };
  while (process.running() && steps_done() < 3) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  process.send(SIGTERM);
  EXPECT_EQ(process.wait(), 128 + SIGTERM) << process.err();
  EXPECT_EQ(read_records(output / "run/metrics.jsonl").size(), static_cast<size_t>(steps_done()));
}

TEST_F(Gpu, StateThatDoesNotFitIsRefusedBeforeAnythingIsCompiled) {
  TemporaryFolder output;
  Outcome outcome = train({"hardware=gpu", "model_name=deepseek3-671b", "dataset_type=synthetic", "run_name=run",
                           "base_output_directory=" + output.path()});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("XLA_PYTHON_CLIENT_MEM_FRACTION"));
}

}  // namespace
}  // namespace fathom
