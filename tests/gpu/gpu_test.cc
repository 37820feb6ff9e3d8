// fathom on an NVIDIA GPU, from outside. The numbers are compared by `verify`, whose references come from PyTorch.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

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
  EXPECT_GT(run.metrics().back().at("perf/device_memory_gb").get<double>(), 0);
}

TEST_F(Gpu, RunEndsAfterAWholeStepWhenTold) {
  StoppedRun run({"hardware=gpu"}, SIGTERM);
  EXPECT_EQ(run.exit_code(), 128 + SIGTERM) << run.err();
  EXPECT_EQ(run.metrics().size(), static_cast<size_t>(run.steps_printed()));
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
