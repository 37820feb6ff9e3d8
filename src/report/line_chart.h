// Scalars over the steps of a run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "report/series.h"

namespace fathom {

struct ChartLine {
  std::string name;  // in the legend
  const Series* series = nullptr;
  bool points = false;  // few values, a point each
  bool smooth = false;  // a moving mean is drawn over the values
};

// The room between two series.
struct ChartBand {
  std::string name;
  const Series* low = nullptr;
  const Series* high = nullptr;
};

struct LineChart {
  std::string_view title = {};
  std::string unit = {};
  std::vector<ChartBand> bands = {};
  std::vector<ChartLine> lines = {};  // at most 4
  bool log_if_wide = false;           // a logarithmic axis where the values span decades
  double log_from = 0;     // above 0: the axis is logarithmic and begins here; what is less stands at its foot
  bool from_zero = false;  // the axis begins at 0, if no value is below it
  bool wide = false;
};

// A <figure>; `first` to `last` are the steps of its axis. Values that are not finite are gaps with a mark, and
// counted.
std::string chart_html(const LineChart& chart, int64_t first, int64_t last);

}  // namespace fathom
