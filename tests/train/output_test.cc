// What a run prints and writes.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <numbers>
#include <numeric>
#include <regex>
#include <set>

#include "base/file.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kStepLine =
    R"(completed step: (\d+), seconds: (\d+\.\d{3}), TFLOP/s/device: (\d+\.\d{3}), Tokens/s/device: (\d+\.\d{3}), )"
    R"(total_weights: (\d+), loss: (\d+\.\d{3}), lm_loss: (\d+\.\d{3}), perplexity: (\d+\.\d{3}), )"
    R"(moe_lb_loss: (\d+\.\d{6}))";

// The scalars of a step of a model with experts, without evaluation.
const std::set<std::string> kNames = {"step",
                                      "learning/loss",
                                      "learning/lm_loss",
                                      "learning/perplexity",
                                      "learning/z_loss",
                                      "learning/moe_lb_loss",
                                      "learning/moe_max_load_ratio",
                                      "learning/total_weights",
                                      "learning/grad_norm",
                                      "learning/raw_grad_norm",
                                      "learning/param_norm",
                                      "learning/current_learning_rate",
                                      "perf/step_time_seconds",
                                      "perf/per_device_tflops",
                                      "perf/per_device_tflops_per_sec",
                                      "perf/per_device_tokens",
                                      "perf/per_device_tokens_per_sec"};

// Three decimals, as the log line has them. What the step computes is float32: its shortest decimals may round
// otherwise.
std::string rounded(const json& value) { return fmt::format("{:.3f}", value.get<double>()); }
std::string rounded_float(const json& value) { return fmt::format("{:.3f}", value.get<float>()); }

TEST(TrainOutput, StdoutHasTheStepLinesAlone) {
  TrainRun run;
  std::vector<json> records = run.metrics();
  std::vector<std::string> lines = run.outcome().lines();
  ASSERT_EQ(lines.size(), 5u);
  ASSERT_EQ(records.size(), 5u);
  for (size_t i = 0; i < lines.size(); ++i) {
    std::smatch m;
    ASSERT_TRUE(std::regex_match(lines[i], m, std::regex(kStepLine))) << lines[i];
    EXPECT_EQ(m[1], std::to_string(i));
    EXPECT_EQ(m[2], rounded(records[i]["perf/step_time_seconds"]));
    EXPECT_EQ(m[4], rounded(records[i]["perf/per_device_tokens_per_sec"]));
    EXPECT_EQ(m[5], std::to_string(records[i]["learning/total_weights"].get<int64_t>()));
    EXPECT_EQ(m[6], rounded_float(records[i]["learning/loss"]));
    EXPECT_EQ(m[7], rounded_float(records[i]["learning/lm_loss"]));
    EXPECT_EQ(m[8], rounded_float(records[i]["learning/perplexity"]));
  }
  EXPECT_THAT(run.outcome().err, Not(HasSubstr("\033"))) << "a progress bar where there is no terminal";
}

TEST(TrainOutput, EachStepIsOneObjectWithThePeersNames) {
  TrainRun run;
  std::vector<json> records = run.metrics();
  ASSERT_EQ(records.size(), 5u);
  for (size_t i = 0; i < records.size(); ++i) {
    const json& r = records[i];
    std::set<std::string> names;
    for (const auto& [name, value] : r.items()) names.insert(name);
    EXPECT_EQ(names, kNames);
    EXPECT_TRUE(r["step"].is_number_integer());
    EXPECT_EQ(r["step"], i);
    EXPECT_TRUE(r["learning/total_weights"].is_number_integer());
    EXPECT_FLOAT_EQ(r["learning/perplexity"].get<float>(), std::exp(r["learning/lm_loss"].get<float>()));
    EXPECT_FLOAT_EQ(r["learning/grad_norm"].get<float>(), std::min(r["learning/raw_grad_norm"].get<float>(), 1.0F));
    EXPECT_GT(r["learning/z_loss"].get<double>(), 0);
    EXPECT_EQ(r["perf/per_device_tokens"].get<double>(), 640);
    double seconds = r["perf/step_time_seconds"].get<double>();
    EXPECT_DOUBLE_EQ(r["perf/per_device_tokens_per_sec"].get<double>(), 640 / seconds);
    EXPECT_DOUBLE_EQ(r["perf/per_device_tflops_per_sec"].get<double>(),
                     r["perf/per_device_tflops"].get<double>() / seconds);
  }
}

TEST(TrainOutput, LearningRateFollowsWarmUpAndCosineAndIsZeroAfterThem) {
  TrainRun run({"steps=14"});
  constexpr double kPeak = 1e-3;
  std::vector<double> expected = {0, kPeak / 3, 2 * kPeak / 3};
  for (int i = 0; i < 9; ++i) {
    double a = 0.5 * (std::cos(std::numbers::pi * i / 8) + 1);
    expected.push_back(kPeak * a + 0.1 * kPeak * (1 - a));
  }
  expected.insert(expected.end(), {0, 0});
  std::vector<double> rates = run.values("learning/current_learning_rate");
  ASSERT_EQ(rates.size(), expected.size());
  for (size_t i = 0; i < rates.size(); ++i) EXPECT_NEAR(rates[i], expected[i], 2e-7 * kPeak) << "step " << i;
  std::vector<double> norms = run.values("learning/param_norm");
  EXPECT_NE(norms[0], norms[1]) << "the second step changes nothing";
  EXPECT_EQ(norms[12], norms[11]) << "a rate of 0 changes something";
}

TEST(TrainOutput, TensorBoardReadsWhatMetricsHold) {
  TrainRun run({"enable_tensorboard=true", "log_period=2"});
  std::vector<json> records = run.metrics();
  TemporaryFolder folder;
  std::string read = folder / "read.json";
  std::string command =
      ".venv/bin/python -B tests/python/read_tensorboard.py " + run.folder() + "/tensorboard > " + read;
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  json board = json::parse(read_file(read));
  EXPECT_EQ(board["scalars"].size() + 1, kNames.size()) << "every scalar, and the step is the events' own";
  for (const auto& [name, values] : board["scalars"].items()) {
    ASSERT_EQ(values.size(), records.size()) << name;
    for (size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(values[i][0], i) << name;
      EXPECT_FLOAT_EQ(values[i][1].get<float>(), records[i][name].get<float>()) << name;
    }
  }
  EXPECT_TRUE(board["texts"].contains("num_model_parameters"));
  // Two layers of 16 experts, 4 chosen by each token that is no padding.
  std::map<int64_t, std::vector<int64_t>> layers;
  for (const json& load : read_records(run.folder() + "/expert_load.jsonl")) {
    layers[load.at("step").get<int64_t>()].push_back(load.at("layer").get<int64_t>());
    const auto counts = load.at("counts").get<std::vector<int64_t>>();
    EXPECT_EQ(counts.size(), 16U);
    const int64_t choices = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    EXPECT_EQ(choices % 4, 0);
    EXPECT_GT(choices, 640 * 4 / 2);
    EXPECT_LE(choices, 640 * 4);
  }
  const std::vector<int64_t> both = {1, 2};
  EXPECT_EQ(layers, (std::map<int64_t, std::vector<int64_t>>{{0, both}, {2, both}, {4, both}}));
  EXPECT_EQ(board["histograms"].size(), 2U);
  EXPECT_EQ(board["histograms"]["expert_load/layer_1"].size(), 3U);
}

TEST(TrainOutput, RunFolderHoldsAConfigurationThatGivesTheSameRun) {
  TrainRun run;
  std::vector<double> losses = run.losses();
  std::string config = run.folder() + "/config.yml";
  EXPECT_THAT(read_file(config), HasSubstr("\nmax_target_length: 160\n"));
  EXPECT_THAT(read_file(config), HasSubstr("\ndataset_type: files\n")) << "what was derived stands in it";
  TemporaryFolder output;
  Process again({"train", config, "base_output_directory=" + output.path(), "run_name=again"});
  EXPECT_EQ(again.wait(), 0) << again.err();
  std::vector<json> records = read_records(output / "again/metrics.jsonl");
  ASSERT_EQ(records.size(), losses.size());
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_EQ(records[i]["learning/loss"].get<double>(), losses[i]);
}

TEST(TrainOutput, TerminalShowsASummaryAndAllKeysOnlyWhenAsked) {
  TrainRun quiet({"steps=1"});
  EXPECT_EQ(quiet.outcome().exit_code, 0);
  auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_LT(lines(quiet.outcome().err), 25) << quiet.outcome().err;
  EXPECT_THAT(quiet.outcome().err, HasSubstr("3 layers (1 dense)"));
  TrainRun loud({"steps=1", "log_config=true", "hf_access_token=hf_secret"});
  EXPECT_THAT(loud.outcome().err, HasSubstr("Config param max_target_length: 160 (command line)"));
  EXPECT_THAT(loud.outcome().err, HasSubstr("Config param packing: true (configs/base.yml"));
  EXPECT_THAT(loud.outcome().err + read_file(loud.folder() + "/config.yml"), Not(HasSubstr("hf_secret")));
}

TEST(TrainOutput, MetricsFileHoldsTheSameObjects) {
  TemporaryFolder folder;
  std::string copy = folder / "of/mine.jsonl";
  TrainRun run({"metrics_file=" + copy});
  EXPECT_EQ(run.metrics(), read_records(copy));
}

TEST(TrainOutput, SecondStartTakesThePrograms) {
  TemporaryFolder cache;
  Words keys = {"jax_cache_dir=" + cache.path(), "max_target_length=16", "steps=2"};
  TrainRun first(keys), second(keys);
  EXPECT_EQ(first.losses(), second.losses());
  EXPECT_THAT(first.outcome().err, HasSubstr("StableHLO"));
  EXPECT_THAT(first.outcome().err, Not(HasSubstr("loaded from the compile cache")));
  for (const char* program : {"train_step", "init_state"}) {
    EXPECT_TRUE(std::regex_search(second.outcome().err,
                                  std::regex(fmt::format("{}: .* loaded from the compile cache", program))))
        << second.outcome().err;
  }
  EXPECT_THAT(second.outcome().err, Not(HasSubstr(", compiled in")));
}

}  // namespace
}  // namespace fathom
