// Evaluation between steps.
#include <gmock/gmock.h>

#include <cmath>
#include <regex>
#include <set>

#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kEvalLine =
    R"(Completed eval after train step (\d+), loss=(\d+\.\d{3}), perplexity=(\d+\.\d{3}), total_weights=(\d+\.\d), )"
    R"(avg_z_loss=(\d+\.\d{3}), avg_moe_lb_loss=(\d+\.\d{6}))";

Words evaluating(const Words& more) {
  Words keys = {"hf_eval_files=tests/data/data/corpus.txt", "eval_per_device_batch_size=4"};
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

std::vector<int64_t> evaluated_steps(const TrainRun& run) {
  std::vector<int64_t> out;
  for (const json& record : run.metrics()) {
    if (record.contains("eval/avg_loss")) out.push_back(record["step"].get<int64_t>());
  }
  return out;
}

TEST(TrainEvaluation, LineAndObjectsSayTheSame) {
  TrainRun run(evaluating({"eval_interval=2", "eval_steps=3"}));
  EXPECT_THAT(evaluated_steps(run), ElementsAre(1, 3));
  std::vector<json> records = run.metrics();
  ASSERT_EQ(records.size(), 5u);
  std::vector<std::string> lines = run.outcome().lines();
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_THAT(lines[1], HasSubstr("completed step: 1,"));
  for (size_t at : {size_t{2}, size_t{5}}) {
    std::smatch m;
    ASSERT_TRUE(std::regex_match(lines[at], m, std::regex(kEvalLine))) << lines[at];
    const json& r = records[static_cast<size_t>(std::stoi(m[1]))];
    EXPECT_EQ(m[2], fmt::format("{:.3f}", r["eval/avg_loss"].get<double>()));
    EXPECT_EQ(m[3], fmt::format("{:.3f}", r["eval/avg_perplexity"].get<double>()));
    EXPECT_EQ(m[4], fmt::format("{}.0", r["eval/total_weights"].get<int64_t>()));
    EXPECT_EQ(m[5], fmt::format("{:.3f}", r["eval/avg_z_loss"].get<double>()));
    EXPECT_DOUBLE_EQ(r["eval/avg_loss"].get<double>(),
                     r["eval/total_loss"].get<double>() / r["eval/total_weights"].get<double>());
    EXPECT_DOUBLE_EQ(r["eval/avg_perplexity"].get<double>(), std::exp(r["eval/avg_loss"].get<double>()));
    EXPECT_DOUBLE_EQ(r["eval/avg_z_loss"].get<double>(), r["eval/z_loss"].get<double>() / 3);
    EXPECT_GT(r["eval/step_time_seconds"].get<double>(), 0);
  }
  EXPECT_EQ(records[1]["eval/total_weights"], records[3]["eval/total_weights"]) << "the same batches each time";
  EXPECT_NE(records[1]["eval/avg_loss"], records[3]["eval/avg_loss"]) << "not with the weights of the moment";
}

TEST(TrainEvaluation, LossOfABatchIsTheTrainingLossOfTheSameWeights) {
  TrainRun run(evaluating({"eval_interval=1", "eval_steps=1", "steps=1", "enable_data_shuffling=false"}));
  json r = run.metrics().at(0);
  // The rate of the first step is 0.
  EXPECT_EQ(r["eval/total_weights"], r["learning/total_weights"]);
  EXPECT_NEAR(r["eval/avg_loss"].get<double>(), r["learning/loss"].get<double>(),
              2e-6 * r["eval/avg_loss"].get<double>());
  EXPECT_NEAR(r["eval/z_loss"].get<double>(), r["learning/z_loss"].get<double>(), 1e-6);
}

TEST(TrainEvaluation, AverageCountsTokensNotBatches) {
  auto evaluated = [](const char* batches) {
    return TrainRun(evaluating({"eval_interval=1", batches, "steps=1"})).metrics().at(0);
  };
  json one = evaluated("eval_steps=1"), four = evaluated("eval_steps=4");
  EXPECT_GT(four["eval/total_loss"].get<double>(), 3 * one["eval/total_loss"].get<double>());
  EXPECT_NEAR(four["eval/avg_loss"].get<double>(), one["eval/avg_loss"].get<double>(), 0.5);
}

TEST(TrainEvaluation, BeginsWithItsStartStep) {
  EXPECT_THAT(evaluated_steps(TrainRun(evaluating({"eval_interval=1", "eval_steps=1", "eval_start_step=3"}))),
              ElementsAre(3, 4));
}

TEST(TrainEvaluation, DoesNotChangeTraining) {
  EXPECT_EQ(TrainRun(evaluating({"eval_interval=1", "eval_steps=1"})).losses(), TrainRun().losses());
}

TEST(TrainEvaluation, LossAtItsTargetEndsTheRun) {
  TrainRun run(evaluating({"eval_interval=2", "eval_steps=1", "target_eval_loss=100"}));
  EXPECT_EQ(run.metrics().size(), 2u);
  EXPECT_THAT(run.outcome().err, HasSubstr("target_eval_loss is reached after step 1"));
  EXPECT_EQ(TrainRun(evaluating({"eval_interval=2", "eval_steps=1", "target_eval_loss=0.1"})).metrics().size(), 5u);
}

TEST(TrainEvaluation, TooLittleDataIsSaidBeforeTheFirstStep) {
  TemporaryFolder folder, output;
  std::string path = folder.write("few.jsonl", "{\"text\": \"one\"}\n");
  Outcome outcome = train(keys_with({"eval_interval=1", "hf_eval_files=" + path}, output.path()));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("few.jsonl"));
  EXPECT_THAT(outcome.out, IsEmpty());
  // The rest of a batch counts when padding fills it.
  TrainRun padded({"eval_interval=1", "hf_eval_files=" + path, "generate_padding_batch_eval=true", "steps=1",
                   "eval_per_device_batch_size=4"});
  EXPECT_LT(padded.metrics().at(0)["eval/total_weights"].get<int64_t>(), 10);
}

}  // namespace
}  // namespace fathom
