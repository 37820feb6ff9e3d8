// Which scalars a report draws, and how: one row a chart. A scalar without a row here is drawn by itself, at the end.
#pragma once

#include <span>
#include <string_view>

namespace fathom {

struct LineRow {
  std::string_view metric;  // as metrics.jsonl calls it
  std::string_view name;    // in the legend
  bool points = false;      // an evaluation's
};

struct ChartRow {
  std::string_view title, unit;
  std::span<const LineRow> lines;
  bool log_if_wide = false, from_zero = false, smooth = false, wide = false;
};

struct ChartSection {
  std::string_view title;
  std::span<const ChartRow> charts;
};

// Sections that have more than charts of scalars.
inline constexpr std::string_view kEvaluation = "Evaluation", kSpeed = "Speed and memory", kExperts = "Experts";

std::span<const ChartSection> chart_rows();
// Scalars that are no chart of their own: made from others, or sums behind the means of an evaluation.
bool is_not_drawn(std::string_view metric);

}  // namespace fathom
