// The profile command from outside: every plugin, a small model.
#include <gmock/gmock.h>

#include <filesystem>

#include "base/file.h"
#include "runtime/plugin_search.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Outcome profile(const Words& more) {
  Words args = {"profile", "configs/base.yml", "model_name=deepseek3-tiny", "override_model_config=True",
                // One dense layer and two with experts.
                "base_emb_dim=256", "base_num_query_heads=4", "base_num_kv_heads=4", "base_mlp_dim=512",
                "base_moe_mlp_dim=128", "base_num_decoder_layers=3", "first_num_dense_layers=1", "vocab_size=4096",
                "num_experts=8", "num_experts_per_tok=2", "q_lora_rank=96", "kv_lora_rank=64", "qk_nope_head_dim=32",
                "qk_rope_head_dim=16", "v_head_dim=32", "per_device_batch_size=2", "max_target_length=256",
                "dtype=float32", "sparse_matmul=True", "attention=flash", "remat_policy=full", "dataset_type=synthetic",
                "enable_checkpointing=False", "run_name=run", "jax_cache_dir=" + compile_cache()};
  args.insert(args.end(), more.begin(), more.end());
  Process process(args);
  int code = process.wait();
  return {.exit_code = code, .out = process.out(), .err = process.err()};
}

double seconds(const json& profile, const std::string& key, const std::string& value) {
  double sum = 0;
  for (const json& op : profile["operations"]) {
    if (op[key] == value) sum += op["cpu_seconds"].get<double>();
  }
  return sum;
}

class ProfileOfAPlugin : public testing::TestWithParam<size_t> {};

TEST_P(ProfileOfAPlugin, GivesTheCpuTimeToLayersAndOperations) {
  std::vector<std::string> plugins = installed_plugins(Hardware::kCpu);
  if (GetParam() >= plugins.size()) GTEST_SKIP() << "no such plugin is installed";
  TemporaryFolder output;
  std::string file = output / "profile.json";
  Outcome run = profile(
      {"--steps=40", "--output=" + file, "base_output_directory=" + output.path(), "plugin=" + plugins[GetParam()]});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  json p = json::parse(read_file(file));
  double operations = 0, unknown = 0;
  for (const json& op : p["operations"]) operations += op["cpu_seconds"].get<double>();
  for (const json& part : p["unknown"]) unknown += part.get<double>();
  double all = p["cpu_seconds"];
  EXPECT_GT(p["samples"], 100);
  EXPECT_NEAR(operations + unknown, all, 1e-6 * all);
  // The older plugin's products run on pool threads that keep no trace of who asked for them.
  EXPECT_LT(unknown, (GetParam() == 0 ? 0.15 : 0.5) * all) << run.out;
  // What this model must spend time on, whatever the machine is.
  EXPECT_GT(seconds(p, "kind", "product"), 0);
  EXPECT_GT(seconds(p, "kind", "grouped_matmul"), 0);
  EXPECT_GT(seconds(p, "part", "moe_layers/moe/experts"), seconds(p, "part", "moe_layers/moe/router"));
  // The loss makes its logits.
  for (const char* part : {"loss", "moe_layers/mla"}) EXPECT_GT(seconds(p, "part", part), 0) << part;
  for (const char* pass : {"forward", "recomputed", "backward", "update"}) {
    EXPECT_GT(seconds(p, "pass", pass), 0) << pass;
  }
  // The stack and the compiled code are two independent witnesses.
  EXPECT_GT(p["agreed"].get<double>(), 0.6 * p["checked"].get<double>()) << run.out;
  EXPECT_THAT(run.out, HasSubstr("CPU ms a step, by part"));
}

INSTANTIATE_TEST_SUITE_P(Installed, ProfileOfAPlugin, testing::Values(0, 1));

TEST(ProfilerKey, WritesTheProfileOfTheStepsThatAreAskedFor) {
  TrainRun run({"profiler=xplane", "skip_first_n_steps_for_profiler=1", "profiler_steps=2"});
  ASSERT_EQ(run.outcome().exit_code, 0) << run.outcome().err;
  EXPECT_EQ(json::parse(read_file(run.folder() + "/profile.json"))["steps"], 2);
  EXPECT_THAT(read_file(run.folder() + "/profile.txt"), HasSubstr("CPU ms a step, by part"));
  TrainRun plain;
  EXPECT_FALSE(std::filesystem::exists(plain.folder() + "/profile.json"));
  EXPECT_TRUE(near(run.losses(), plain.losses(), 1e-6));
}

TEST(ProfilerKey, ARunThatEndsBeforeGivesTheStepsThatThereWere) {
  TrainRun run({"profiler=xplane", "skip_first_n_steps_for_profiler=2", "profiler_steps=100"});
  ASSERT_EQ(run.outcome().exit_code, 0) << run.outcome().err;
  size_t steps = run.metrics().size();
  ASSERT_GT(steps, 2U);
  EXPECT_EQ(json::parse(read_file(run.folder() + "/profile.json"))["steps"], steps - 2);
}

TEST(ProfileMistakes, StepsMustBeANumberAboveNone) {
  for (const char* steps : {"--steps=0", "--steps=few"}) {
    Outcome run = profile({steps});
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_THAT(run.err, HasSubstr(steps));
  }
}

}  // namespace
}  // namespace fathom
