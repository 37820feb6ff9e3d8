#include "report/page.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Series series_of(const std::vector<double>& values) {
  Series out;
  for (size_t i = 0; i < values.size(); ++i) out.add(static_cast<int64_t>(i), values[i]);
  return out;
}

RunData run_of(const std::string& metric, const std::vector<double>& values) {
  RunData run{.name = "r", .folder = "runs/r", .scalars = {}};
  run.scalars.records = static_cast<int64_t>(values.size());
  run.scalars.last_step = run.scalars.records - 1;
  run.scalars.series.emplace(metric, series_of(values));
  return run;
}

// The d of the first path with these classes that a chart begins a line with (a legend's keys stand within one); empty
// when there is none.
std::string path_of(const std::string& page, const std::string& classes) {
  const std::string before = "\n<path class=\"" + classes + "\" d=\"";
  const size_t at = page.find(before);
  if (at == std::string::npos) return "";
  const size_t begin = at + before.size();
  return page.substr(begin, page.find('"', begin) - begin);
}

TEST(ReportPage, NamesOfTheRunAreText) {
  RunData run = run_of("learning/<img src=x>", {1, 2});
  const std::string attack = "</title><script>alert(1)</script>";
  run.name = run.folder = attack;
  run.notes = {attack};
  run.settings = {{.key = attack, .value = attack, .default_value = attack, .known = false},
                  {.key = "model_name", .value = attack, .plain = attack}};
  const std::string page = report_page(run);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("<h1>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</h1>"));
}

TEST(ReportPage, LoadsNothing) {
  const std::string page = report_page(run_of("learning/loss", {1, 2}));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* loader : {"://", "src=", "href=", "url(", "@import"}) EXPECT_THAT(page, Not(HasSubstr(loader)));
}

TEST(ReportPage, LineBreaksAndIsMarkedWhereValuesAreNotFinite) {
  const std::string page = report_page(run_of("learning/param_norm", {1, 2, kNan, 2, INFINITY, 1}));
  // 0 and 1, then 3 alone as a dot, then 5: three strokes.
  const std::string line = path_of(page, "line c0");
  EXPECT_EQ(std::ranges::count(line, 'M'), 3) << line;
  EXPECT_THAT(line, HasSubstr("h0"));
  EXPECT_EQ(std::ranges::count(path_of(page, "bad"), 'M'), 2);
  EXPECT_THAT(page, HasSubstr("1 NaN and 1 infinite of 6 values, the first at step 2"));
}

TEST(ReportPage, ScalarThatIsNeverFiniteIsSaid) {
  const std::string page = report_page(run_of("learning/loss", {kNan, kNan, kNan}));
  EXPECT_THAT(page, HasSubstr("3 NaN and 0 infinite of 3 values"));
  EXPECT_THAT(page, HasSubstr("never finite"));
  EXPECT_EQ(path_of(page, "line c0"), "");
  EXPECT_NE(path_of(page, "bad"), "");
}

TEST(ReportPage, OneStepIsAPage) {
  const std::string page = report_page(run_of("learning/loss", {5}));
  EXPECT_EQ(path_of(page, "line c0"), "M2000 500h0");
}

TEST(ReportPage, LossOverDecadesHasALogarithmicAxis) {
  EXPECT_THAT(report_page(run_of("learning/loss", {100, 0.5, 0.01})), HasSubstr("logarithmic"));
  EXPECT_THAT(report_page(run_of("learning/loss", {11, 5, 2})), Not(HasSubstr("logarithmic")));
  EXPECT_THAT(report_page(run_of("learning/loss", {100, 0.5, 0})), Not(HasSubstr("logarithmic")));
}

TEST(ReportPage, LoadsStandOnALogarithmicAxisThatHoldsZeroToo) {
  RunData run = run_of("learning/loss", {1, 2});
  RunLoads& loads = run.loads.emplace();
  for (Series* s : {&loads.largest, &loads.upper}) *s = series_of({10, 10});
  for (Series* s : {&loads.median, &loads.lower, &loads.smallest, &loads.idle}) *s = series_of({0, 0});
  loads.of_layers[3] = series_of({10, 10});
  loads.last[3] = {0, 10};
  const std::string page = report_page(run);
  EXPECT_THAT(page, HasSubstr("what is below 0.1 stands at its foot"));
  EXPECT_EQ(path_of(page, "line c0").substr(0, 2), "M0");
  EXPECT_THAT(path_of(page, "band b0"), HasSubstr(" 1000"));
  EXPECT_NE(path_of(page, "heat q0"), "");
  EXPECT_NE(path_of(page, "heat q8"), "");
}

TEST(ReportPage, WhatIsMissingIsSaid) {
  RunData run = run_of("learning/loss", {1, 2});
  run.notes = {"config.yml is not there: the page has no configuration."};
  const std::string page = report_page(run);
  EXPECT_THAT(page, HasSubstr("config.yml is not there"));
  EXPECT_THAT(page, HasSubstr("was not evaluated"));
  EXPECT_THAT(page, HasSubstr("expert_load.jsonl"));
  EXPECT_THAT(page, HasSubstr("perf/device_memory_gb"));
  EXPECT_THAT(page, Not(HasSubstr("<h2>Configuration")));
}

TEST(ReportPage, ScalarThatIsZeroThroughoutIsSaidAndOneThatNobodyKnowsIsDrawn) {
  RunData run = run_of("learning/z_loss", {0, 0});
  run.scalars.series.emplace("optim/step_skipped", series_of({0, 1}));
  const std::string page = report_page(run);
  EXPECT_THAT(page, HasSubstr("0 in every step: learning/z_loss."));
  EXPECT_THAT(page, HasSubstr("<figcaption>optim/step_skipped"));
}

TEST(ReportPage, EvaluationsStandInATable) {
  RunData run = run_of("learning/loss", {5, 4, 3, 2});
  Series eval;
  eval.add(1, 4.25);
  eval.add(3, kNan);
  run.scalars.series.emplace("eval/avg_loss", eval);
  const std::string page = report_page(run);
  EXPECT_THAT(page, HasSubstr("<tr><th scope=\"row\">1</th><td>4.25</td></tr>"));
  EXPECT_THAT(page, HasSubstr("<tr><th scope=\"row\">3</th><td>not finite</td></tr>"));
}

TEST(ReportPage, KeysThatDifferStandBeforeAll) {
  RunData run = run_of("learning/loss", {1});
  run.settings = {{.key = "a_key", .value = "1", .default_value = "1"},
                  {.key = "b_key", .value = "2", .default_value = "1"}};
  const std::string page = report_page(run);
  EXPECT_THAT(page, HasSubstr("differ from the defaults: 1<"));
  EXPECT_LT(page.find("<tr><th scope=\"row\">b_key</th><td>2</td><td>1</td></tr>"),
            page.find("<tr><th scope=\"row\">a_key</th><td>1</td></tr>"));
}

// The largest model, a million steps, noise in every scalar.
TEST(ReportPage, LongestRunStaysBelowTwoMegabytes) {
  RunData run{.name = "r", .folder = "runs/r", .scalars = {}};
  constexpr int64_t kSteps = 1'000'000;
  run.scalars.records = kSteps;
  run.scalars.last_step = kSteps - 1;
  uint32_t state = 1;
  auto noise = [&] { return static_cast<double>((state = state * 1664525u + 1013904223u) >> 8) / (1 << 24); };
  for (const char* name :
       {"learning/loss", "learning/lm_loss", "learning/mtp_loss", "learning/moe_lb_loss", "learning/indexer_loss",
        "learning/raw_grad_norm", "learning/grad_norm", "learning/param_norm", "learning/moe_max_load_ratio",
        "learning/moe_dropped_fraction", "learning/current_learning_rate", "perf/step_time_seconds",
        "perf/per_device_tokens_per_sec", "perf/per_device_tflops_per_sec", "perf/device_memory_gb", "eval/avg_loss"}) {
    Series& series = run.scalars.series.emplace(name, Series()).first->second;
    for (int64_t step = 0; step < kSteps; step += 50) series.add(step, 1 + noise());
  }
  RunLoads& loads = run.loads.emplace();
  for (int64_t step = 0; step < kSteps; step += 100) {
    for (Series* s : {&loads.largest, &loads.upper, &loads.median, &loads.lower, &loads.smallest, &loads.idle}) {
      s->add(step, 8 * noise());
    }
  }
  for (int64_t layer = 3; layer < 61; ++layer) {
    Series& of_layer = loads.of_layers.emplace(layer, RunLoads::kColumns).first->second;
    for (int64_t step = 0; step < kSteps; step += 1000) of_layer.add(step, 8 * noise());
    for (int expert = 0; expert < 256; ++expert) loads.last[layer].push_back(8 * noise() * noise());
  }
  const size_t bytes = report_page(run).size();
  EXPECT_LT(bytes, size_t{2'000'000});
  EXPECT_GT(bytes, size_t{200'000});
}

}  // namespace
}  // namespace fathom
