#include "metrics/metrics_writer.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

StepMetrics metrics(int64_t step, float loss) {
  return {.step = step,
          .seconds = 0.1,
          .tokens_per_device = 512,
          .total_weights = 500,
          .values = {{"loss", loss}, {"lm_loss", loss}, {"moe_lb_loss", 0.25F}, {"learning_rate", 1e-5F}}};
}

std::vector<json> records(const TemporaryFolder& folder) {
  std::vector<json> out;
  std::string text = read_file(folder / "metrics.jsonl");
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    EXPECT_NE(end, std::string::npos);
    out.push_back(json::parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return out;
}

std::vector<int64_t> steps(const TemporaryFolder& folder) {
  std::vector<int64_t> out;
  for (const json& r : records(folder)) out.push_back(r["step"].get<int64_t>());
  return out;
}

// What TensorBoard's own package reads in the folder; see the script.
json read_by_tensorboard(const TemporaryFolder& folder) {
  std::string command = ".venv/bin/python -B tests/python/read_tensorboard.py " + (folder / "tensorboard");
  FILE* pipe = popen(command.c_str(), "r");
  std::string out;
  char block[4096];
  while (size_t n = fread(block, 1, sizeof(block), pipe)) out.append(block, n);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return json::parse(out);
}

TEST(MetricsWriter, RecordIsOnDiskWhenTheCallReturns) {
  TemporaryFolder folder;
  MetricsWriter writer({.folder = folder / "a/run", .tensorboard = false});
  writer.write(metrics(0, 5.5486F));
  std::string text = read_file(folder / "a/run/metrics.jsonl");
  EXPECT_THAT(text, HasSubstr(R"({"step": 0, "learning/total_weights": 500, "learning/loss": 5.5486, )"));
  json record = json::parse(text);
  EXPECT_TRUE(record["step"].is_number_integer());
  EXPECT_EQ(record["learning/loss"].get<float>(), 5.5486F);
  EXPECT_EQ(record["learning/total_weights"].get<int64_t>(), 500);
  EXPECT_EQ(record["perf/step_time_seconds"].get<double>(), 0.1);
  EXPECT_EQ(record["learning/moe_lb_loss"].get<float>(), 0.25F);
  EXPECT_FALSE(record.contains("learning/mtp_loss"));
}

TEST(MetricsWriter, EvaluationGoesIntoTheStepsObject) {
  TemporaryFolder folder;
  MetricsWriter writer({.folder = folder.path(), .tensorboard = false});
  EvalMetrics eval{.seconds = 1, .batches = 2, .counts = {{"targets", 10}}, .sums = {{"lm_loss", 30}}};
  writer.write(metrics(0, 4), &eval);
  writer.write(metrics(1, 3));
  std::vector<json> all = records(folder);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["eval/avg_loss"].get<double>(), 3.0);
  EXPECT_FALSE(all[1].contains("eval/avg_loss"));
}

TEST(MetricsWriter, LossThatIsNotFiniteStaysValidJson) {
  TemporaryFolder folder;
  MetricsWriter writer({.folder = folder.path(), .tensorboard = false});
  writer.write(metrics(0, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_EQ(records(folder)[0]["learning/loss"], "NaN");
}

TEST(MetricsWriter, ResumedRunReplacesTheStepsPastItsCheckpoint) {
  TemporaryFolder folder;
  for (int64_t first : {0, 3}) {
    MetricsWriter writer({.folder = folder.path(), .first_step = first, .tensorboard = false});
    for (int64_t step = first; step < 5; ++step) writer.write(metrics(step, static_cast<float>(first)));
  }
  EXPECT_THAT(steps(folder), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(records(folder)[2]["learning/loss"].get<float>(), 0);
  EXPECT_EQ(records(folder)[3]["learning/loss"].get<float>(), 3);
}

TEST(MetricsWriter, LineThatAKillCutOffIsDropped) {
  TemporaryFolder folder;
  folder.write("metrics.jsonl", "{\"step\": 0}\n{\"step\": 1}\n{\"step\": 2, \"lear");
  MetricsWriter writer({.folder = folder.path(), .first_step = 2, .tensorboard = false});
  writer.write(metrics(2, 1));
  EXPECT_THAT(steps(folder), ElementsAre(0, 1, 2));
}

TEST(MetricsWriter, RecordsOfAnotherRunAreKeptUnlessTheyMayBeDropped) {
  TemporaryFolder folder;
  const std::string old = "{\"step\": 0}\n{\"step\": 1}\n";
  folder.write("metrics.jsonl", old);
  EXPECT_THAT([&] { MetricsWriter({.folder = folder.path(), .tensorboard = false}); },
              ThrowsMessage<ConfigError>(
                  testing::AllOf(HasSubstr("run_name"), HasSubstr("metrics.jsonl"), HasSubstr("overwrite=true"))));
  EXPECT_THAT([&] { MetricsWriter({.folder = folder / "new", .copy = folder / "metrics.jsonl"}); },
              ThrowsMessage<ConfigError>(HasSubstr("metrics_file")));
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), old);
  MetricsWriter writer({.folder = folder.path(), .overwrite = true, .tensorboard = false});
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), old) << "dropped before there is something new";
  writer.write(metrics(0, 1));
  EXPECT_THAT(steps(folder), ElementsAre(0));
}

TEST(MetricsWriter, OneProcessWritesAFile) {
  TemporaryFolder folder;
  MetricsWriter writer({.folder = folder.path(), .tensorboard = false});
  // A lock belongs to an open file, so a second one in this process meets it as another process would.
  EXPECT_THAT([&] { MetricsWriter({.folder = folder.path(), .tensorboard = false}); },
              ThrowsMessage<ConfigError>(HasSubstr("another process is writing")));
}

TEST(MetricsWriter, RunWithoutAStepLeavesNoFile) {
  TemporaryFolder folder;
  { MetricsWriter writer({.folder = folder.path()}); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(MetricsWriter, FileThatIsRemovedMeanwhileIsAFault) {
  TemporaryFolder folder;
  MetricsWriter writer({.folder = folder / "run", .tensorboard = false});
  writer.write(metrics(0, 1));
  std::filesystem::remove_all(folder / "run");
  EXPECT_THAT([&] { writer.write(metrics(1, 1)); }, ThrowsMessage<RuntimeFault>(HasSubstr("was removed")));
}

TEST(MetricsWriter, CopyMayBeADevice) {
  TemporaryFolder folder;
  for (int i = 0; i < 2; ++i) {
    MetricsWriter writer({.folder = folder / std::to_string(i), .copy = "/dev/null", .tensorboard = false});
    writer.write(metrics(0, 1));
  }
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(MetricsWriter, ForeignFileIsNotCut) {
  TemporaryFolder folder;
  folder.write("metrics.jsonl", "{\"step\": 0}\nsomething else\n");
  EXPECT_THAT([&] { MetricsWriter({.folder = folder.path(), .first_step = 1}); },
              ThrowsMessage<FormatError>(HasSubstr("metrics.jsonl: at byte 12: not a line of metrics")));
  // A run that goes on finds it before it does anything, too.
  EXPECT_THAT([&] { MetricsWriter({.folder = folder.path(), .own = true}); },
              ThrowsMessage<FormatError>(HasSubstr("metrics.jsonl: at byte 12: not a line of metrics")));
  EXPECT_THAT(read_file(folder / "metrics.jsonl"), HasSubstr("something else"));
}

TEST(MetricsWriter, FullDiskIsAFaultThatNamesTheFile) {
  TemporaryFolder folder;
  MetricsWriter writer({.folder = folder.path(), .tensorboard = false});
  writer.write(metrics(0, 1));
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = {.rlim_cur = 700, .rlim_max = old.rlim_max};
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THAT([&] { writer.write(metrics(1, 1)); }, ThrowsMessage<RuntimeFault>(HasSubstr("metrics.jsonl")));
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
}

TEST(MetricsWriter, TensorBoardReadsScalarsAndTexts) {
  TemporaryFolder folder;
  {
    MetricsWriter writer({.folder = folder.path()});
    writer.write_text("num_model_parameters", "10,485,760");
    EvalMetrics eval{.seconds = 1, .batches = 1, .counts = {{"targets", 10}}, .sums = {{"lm_loss", 30}}};
    writer.write(metrics(0, 5.5F));
    writer.write(metrics(1, 4.25F), &eval);
  }
  json seen = read_by_tensorboard(folder);
  EXPECT_EQ(seen["scalars"]["learning/loss"], json::parse("[[0, 5.5], [1, 4.25]]"));
  EXPECT_EQ(seen["scalars"]["eval/avg_loss"], json::parse("[[1, 3.0]]"));
  // Every scalar of the record is there, and in both of TensorBoard's pipelines.
  std::vector<json> lines = records(folder);
  lines[1].erase("step");
  for (const auto& [name, value] : lines[1].items()) {
    ASSERT_TRUE(seen["scalars"].contains(name)) << name;
    EXPECT_EQ(seen["scalars"][name].back()[1].get<float>(), value.get<float>()) << name;
  }
  EXPECT_EQ(seen["dashboard_scalars"], seen["scalars"]);
  EXPECT_EQ(seen["texts"]["num_model_parameters"], json::parse(R"([[0, "10,485,760"]])"));
  EXPECT_GT(seen["first_wall_time"].get<double>(), 1.7e9);
}

TEST(MetricsWriter, TensorBoardSeesOneCurveAfterAResume) {
  TemporaryFolder folder;
  for (int64_t first : {0, 3}) {
    MetricsWriter writer({.folder = folder.path(), .first_step = first});
    for (int64_t step = first; step < 5; ++step) writer.write(metrics(step, static_cast<float>(first)));
  }
  EXPECT_EQ(read_by_tensorboard(folder)["scalars"]["learning/loss"],
            json::parse("[[0, 0.0], [1, 0.0], [2, 0.0], [3, 3.0], [4, 3.0]]"));
}

// Two layers of three experts, the first of them the model's second layer.
StepMetrics with_load(int64_t step) {
  StepMetrics out = metrics(step, 1);
  out.load = {.first_layer = 1, .experts = 3, .counts = {4, 0, 2, 1, 2, static_cast<int32_t>(step)}};
  return out;
}

std::vector<json> load_records(const TemporaryFolder& folder) {
  std::vector<json> out;
  std::istringstream lines(read_file(folder / "expert_load.jsonl"));
  for (std::string line; std::getline(lines, line);) out.push_back(json::parse(line));
  return out;
}

TEST(MetricsWriter, LoadsOfExpertsAreALineALayerEveryFewSteps) {
  TemporaryFolder folder;
  MetricsWriter writer({.folder = folder.path(), .tensorboard = false, .load_steps = 2});
  for (int64_t step = 0; step < 4; ++step) writer.write(with_load(step));
  EXPECT_EQ(load_records(folder), json::parse(R"([{"step": 0, "layer": 1, "counts": [4, 0, 2]},
                                                  {"step": 0, "layer": 2, "counts": [1, 2, 0]},
                                                  {"step": 2, "layer": 1, "counts": [4, 0, 2]},
                                                  {"step": 2, "layer": 2, "counts": [1, 2, 2]}])"));
}

TEST(MetricsWriter, ARunThatGoesOnCutsItsLoads) {
  TemporaryFolder folder;
  {
    MetricsWriter writer({.folder = folder.path(), .tensorboard = false, .load_steps = 2});
    for (int64_t step = 0; step < 5; ++step) writer.write(with_load(step));
  }
  MetricsWriter writer({.folder = folder.path(), .own = true, .tensorboard = false, .load_steps = 2});
  writer.go_on(4);
  EXPECT_EQ(load_records(folder).size(), 6U) << "cut before there is a record to put there";
  for (int64_t step = 4; step < 7; ++step) writer.write(with_load(step));
  std::vector<int64_t> seen;
  for (const json& record : load_records(folder)) seen.push_back(record.at("step").get<int64_t>());
  EXPECT_THAT(seen, ElementsAre(0, 0, 2, 2, 4, 4, 6, 6));
}

TEST(MetricsWriter, AModelWithoutExpertsLeavesNoFileOfLoads) {
  TemporaryFolder folder;
  { MetricsWriter({.folder = folder.path(), .tensorboard = false}).write(metrics(0, 1)); }
  EXPECT_FALSE(std::filesystem::exists(folder / "expert_load.jsonl"));
}

TEST(MetricsWriter, TensorBoardReadsLoadsAsABarAnExpert) {
  TemporaryFolder folder;
  { MetricsWriter({.folder = folder.path(), .load_steps = 1}).write(with_load(5)); }
  const json seen = read_by_tensorboard(folder).at("histograms");
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen.at("expert_load/layer_2"), json::parse("[[5, [0.5, 1.5, 2.5], [1.0, 2.0, 5.0]]]"));
}

TEST(MetricsWriter, TensorBoardSeesLongRunsWhole) {
  TemporaryFolder folder;
  {
    MetricsWriter writer({.folder = folder.path(), .tensorboard_flush_steps = 1000});
    for (int64_t step = 0; step < 500; ++step) writer.write(metrics(step, 1));
  }
  EXPECT_EQ(read_by_tensorboard(folder)["scalars"]["learning/loss"].size(), 500u);
}

}  // namespace
}  // namespace fathom
