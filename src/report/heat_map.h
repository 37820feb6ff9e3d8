// Cells of a table as colours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/plot.h"

namespace fathom {

// A colour of the page's scale of loads (class q0, q1, ... of its style) and the values that have it.
struct HeatClass {
  double below = 0;  // values less than this, and not of a class before
  std::string_view text;
};

struct HeatCell {
  double left = 0, right = 0;  // from 0 to 1
  double value = 0;
};

struct HeatRow {
  std::string name;
  std::vector<HeatCell> cells;  // left to right
};

struct HeatMap {
  std::string_view title = {}, unit = {}, x_label = {};
  std::vector<AxisTick> x_ticks = {};
  std::vector<HeatRow> rows = {};  // from the top
  std::string note = {};           // under it, plain text
  std::string summary = {};
};

// The class of a load.
size_t load_class(double load);

// A <figure> with the scale of loads under it.
std::string heat_map_html(const HeatMap& map);

}  // namespace fathom
