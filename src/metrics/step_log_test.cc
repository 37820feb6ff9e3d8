#include "metrics/step_log.h"

#include <gmock/gmock.h>

#include <limits>
#include <set>

#include "metrics/step_scalars.h"

namespace fathom {
namespace {

using testing::IsSupersetOf;
using testing::UnorderedElementsAre;

// Fits the line that the peer prints for its first step.
StepMetrics example() {
  return {.step = 1,
          .seconds = 1.3591,
          .tflop_per_device = 0.0002,
          .tokens_per_device = 32,
          .total_weights = 32,
          .values = {{"loss", 5.5486F}, {"lm_loss", 5.018053F}}};
}

TEST(StepLog, LineIsThePeers) {
  StepMetrics m = example();
  std::string start = "completed step: 1, seconds: 1.359, TFLOP/s/device: 0.000, Tokens/s/device: 23.545, ";
  std::string common = start + "total_weights: 32, loss: 5.549, lm_loss: 5.018, perplexity: 151.117";
  EXPECT_EQ(format_step_line(m), common);
  m.values["moe_lb_loss"] = 0.010351F;
  EXPECT_EQ(format_step_line(m), common + ", moe_lb_loss: 0.010351");
  m.values["mtp_loss"] = 0.5202F;
  EXPECT_EQ(format_step_line(m), common + ", moe_lb_loss: 0.010351, main_model_loss: 5.028, mtp_loss: 0.520");
}

TEST(StepLog, RatesAreOfTheStepsOwnTime) {
  StepMetrics m{.seconds = 2, .tflop_per_device = 3, .tokens_per_device = 100};
  EXPECT_EQ(m.tflops(), 1.5);
  EXPECT_EQ(m.tokens_per_second(), 50);
  EXPECT_EQ(StepMetrics{}.tflops(), 0);
}

TEST(StepLog, EvalLineAveragesOverAllTargets) {
  EvalMetrics m{
      .seconds = 3, .batches = 2, .counts = {{"targets", 5000}}, .sums = {{"lm_loss", 15500}, {"z_loss", 10}}};
  EXPECT_EQ(
      format_eval_line(100, m),
      "Completed eval after train step 100, loss=3.100, perplexity=22.198, total_weights=5000.0, avg_z_loss=0.002");
  m.sums["moe_lb_loss"] = 50;
  EXPECT_THAT(format_eval_line(100, m), testing::EndsWith("avg_z_loss=0.002, avg_moe_lb_loss=0.010000"));
}

// Of its own places, whatever the targets are.
TEST(StepLog, EvaluationOfPredictionsCountsTheirOwnPlaces) {
  EvalMetrics m{.seconds = 3,
                .batches = 2,
                .counts = {{"targets", 5000}, {"predictions", 4000}, {"guesses", 2000}},
                .sums = {{"lm_loss", 15500}, {"mtp_loss", 2000}, {"mtp_acceptance_rate", 50000}}};
  EXPECT_THAT(format_eval_line(100, m), testing::EndsWith(", avg_mtp_loss=0.500, avg_mtp_acceptance_rate=25.00%"));
  std::map<std::string_view, double> written;
  for (const Scalar& s : scalars(m)) {
    if (const double* x = std::get_if<double>(&s.value)) written[s.name] = *x;
  }
  EXPECT_EQ(written.at("eval/avg_mtp_loss"), 0.5);
  EXPECT_EQ(written.at("eval/mtp_loss"), 1.0);
  EXPECT_EQ(written.at("eval/avg_mtp_acceptance_rate_percent"), 25);
}

std::vector<std::string> names(const std::vector<Scalar>& scalars) {
  std::vector<std::string> out;
  for (const Scalar& s : scalars) out.emplace_back(s.name);
  return out;
}

TEST(StepLog, ScalarsHaveThePeersNames) {
  StepMetrics m = example();
  for (const char* name : {"z_loss", "raw_grad_norm", "grad_norm", "param_norm", "learning_rate"}) m.values[name] = 1;
  std::vector<std::string> plain = names(scalars(m));
  EXPECT_THAT(plain, IsSupersetOf({"learning/loss", "learning/lm_loss", "learning/perplexity", "learning/z_loss",
                                   "learning/total_weights", "learning/grad_norm", "learning/raw_grad_norm",
                                   "learning/param_norm", "learning/current_learning_rate", "perf/step_time_seconds",
                                   "perf/per_device_tflops", "perf/per_device_tflops_per_sec", "perf/per_device_tokens",
                                   "perf/per_device_tokens_per_sec"}));
  m.values["moe_lb_loss"] = 0;
  EXPECT_EQ(scalars(m).size(), plain.size() + 1);
  m.device_memory_gb = 2.5;
  EXPECT_EQ(names(scalars(m)).back(), "perf/device_memory_gb");
  EXPECT_EQ(std::get<double>(scalars(m).back().value), 2.5);

  EvalMetrics e{.seconds = 1, .batches = 1, .counts = {{"targets", 1}}, .sums = {{"lm_loss", 1}, {"z_loss", 0}}};
  EXPECT_THAT(names(scalars(e)),
              UnorderedElementsAre("eval/total_loss", "eval/total_weights", "eval/avg_loss", "eval/avg_perplexity",
                                   "eval/step_time_seconds", "eval/z_loss", "eval/avg_z_loss"));
}

// Every row of the table can be printed and written: none is without a name that somebody reads.
TEST(StepLog, EveryScalarOfTheTableHasAMetric) {
  StepMetrics m;
  std::set<std::string_view> metrics;
  for (const StepScalar& row : kStepScalars) m.values[std::string(row.name)] = 1;
  for (const Scalar& s : scalars(m)) metrics.insert(s.name);
  for (const StepScalar& row : kStepScalars) {
    const bool shown =
        row.metric.empty() ? row.line_decimals >= 0 || !row.eval_mean.empty() : metrics.contains(row.metric);
    EXPECT_TRUE(shown) << row.name;
  }
}

TEST(StepLog, JsonNumbersAreShortestAndComeBack) {
  EXPECT_EQ(json_number(0.1F), "0.1");
  EXPECT_EQ(json_number(0.1), "0.1");
  EXPECT_EQ(json_number(static_cast<double>(0.1F)), "0.10000000149011612");
  EXPECT_EQ(json_number(5.0F), "5.0");
  EXPECT_EQ(json_number(1e-5F), "1e-05");
  EXPECT_EQ(json_number(1e30F), "1e+30");
  EXPECT_EQ(json_number(-0.0F), "-0.0");
  EXPECT_EQ(json_number(int64_t{7}), "7");
  for (float x : {5.5486F, 1.17549435e-38F, 3.4028235e38F, 1.4e-45F, 16777217.0F}) {
    EXPECT_EQ(std::strtof(json_number(x).c_str(), nullptr), x);
  }
}

TEST(StepLog, JsonNumbersThatAreNotFiniteAreStrings) {
  EXPECT_EQ(json_number(std::numeric_limits<float>::quiet_NaN()), "\"NaN\"");
  EXPECT_EQ(json_number(std::numeric_limits<double>::infinity()), "\"Infinity\"");
  EXPECT_EQ(json_number(-std::numeric_limits<float>::infinity()), "\"-Infinity\"");
}

}  // namespace
}  // namespace fathom
