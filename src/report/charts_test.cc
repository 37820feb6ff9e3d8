#include "report/charts.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "metrics/step_log.h"

namespace fathom {
namespace {

// Every scalar that a run may write.
std::set<std::string, std::less<>> written() {
  std::set<std::string, std::less<>> out;
  StepMetrics step{.device_memory_gb = 1};
  EvalMetrics eval;
  for (const StepScalar& row : kStepScalars) {
    step.values[std::string(row.name)] = 1;
    eval.sums[std::string(row.name)] = 1;
  }
  for (const Scalar& scalar : scalars(step)) out.emplace(scalar.name);
  for (const Scalar& scalar : scalars(eval)) out.emplace(scalar.name);
  return out;
}

TEST(Charts, EveryScalarOfARunHasItsPlaceAndEveryPlaceAScalar) {
  const auto names = written();
  std::set<std::string, std::less<>> drawn;
  for (const ChartSection& section : chart_rows()) {
    for (const ChartRow& row : section.charts) {
      EXPECT_LE(row.lines.size(), 4u) << row.title;
      for (const LineRow& line : row.lines) {
        EXPECT_TRUE(names.contains(line.metric)) << line.metric << ": no run writes it";
        drawn.emplace(line.metric);
      }
    }
  }
  for (const std::string& name : names) EXPECT_NE(drawn.contains(name), is_not_drawn(name)) << name;
}

}  // namespace
}  // namespace fathom
