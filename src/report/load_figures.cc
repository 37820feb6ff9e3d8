#include <fmt/format.h>

#include <algorithm>

#include "report/heat_map.h"
#include "report/line_chart.h"
#include "report/scale.h"
#include "report/sections.h"

namespace fathom {
namespace {

constexpr size_t kMostColumns = 512;  // experts beside each other
constexpr int kExpertTicks = 5;

// The largest load of each layer over time. A cell reaches to the next step whose loads were written.
std::string layers_over_time(const RunLoads& loads) {
  const Series& steps = loads.of_layers.begin()->second;
  const auto first = static_cast<double>(steps.buckets().front().first);
  const auto newest = static_cast<double>(steps.buckets().back().first);
  const auto between = static_cast<double>(std::max<int64_t>(std::ssize(steps.buckets()) - 1, 1));
  const Scale x{.low = first, .high = newest + std::max((newest - first) / between, 1.0)};
  HeatMap map{.title = "Layers over time",
              .unit = "a row is a layer: its largest load of an expert, over the layer's mean",
              .x_label = "step",
              .x_ticks = step_axis(x.low, x.high)};
  for (const auto& [layer, series] : loads.of_layers) {
    HeatRow row{.name = std::to_string(layer), .cells = {}};
    for (const Bucket& bucket : series.buckets()) {
      const double left = x.place(static_cast<double>(bucket.first));
      if (!row.cells.empty()) row.cells.back().right = left;
      row.cells.push_back({.left = left, .right = 1, .value = bucket.greatest});
    }
    map.rows.push_back(std::move(row));
  }
  map.summary = fmt::format("The largest load of an expert, for {} layers over the steps", map.rows.size());
  if (steps.size() > std::ssize(steps.buckets()))
    map.note = "A cell shows the largest of the steps that it stands for.";
  return heat_map_html(map);
}

// The loads of all experts at the newest step.
std::string experts_at_the_end(const RunLoads& loads, const std::string& title) {
  size_t experts = 0;
  for (const auto& [layer, row] : loads.last) experts = std::max(experts, row.size());
  const size_t together = (experts + kMostColumns - 1) / kMostColumns;
  HeatMap map{.title = title, .unit = "a row is a layer; tokens over the layer's mean", .x_label = "expert"};
  const Scale x{.low = 0, .high = static_cast<double>(experts)};
  for (double tick : step_ticks({.low = 0, .high = x.high - 0.5}, kExpertTicks)) {
    map.x_ticks.push_back({x.place(tick + 0.5), tick_text(tick, 1)});
  }
  for (const auto& [layer, row] : loads.last) {
    HeatRow cells{.name = std::to_string(layer), .cells = {}};
    for (size_t begin = 0; begin < row.size(); begin += together) {
      const size_t end = std::min(begin + together, row.size());
      const auto at = row.begin() + static_cast<ptrdiff_t>(begin);
      cells.cells.push_back({.left = x.place(static_cast<double>(begin)),
                             .right = x.place(static_cast<double>(end)),
                             .value = *std::max_element(at, at + static_cast<ptrdiff_t>(end - begin))});
    }
    map.rows.push_back(std::move(cells));
  }
  const double idle = loads.idle.last().value;
  map.note = fmt::format("{} of {} experts got no token.", count_text(static_cast<int64_t>(idle)),
                         count_text(loads.experts()));
  if (together > 1) map.note += fmt::format(" A cell shows the largest of {} experts.", together);
  map.summary = fmt::format("The load of each expert of {} layers. {}", map.rows.size(), map.note);
  return heat_map_html(map);
}

int64_t last_step(const RunData& run, const RunLoads& loads) {
  return std::max(run.scalars.last_step, loads.last_step);
}

std::string spread_over_time(const RunData& run, const RunLoads& loads) {
  return chart_html(
      {.title = "Loads of all experts",
       .unit = "tokens over the layer's mean; 1 is an even share",
       .bands = {{.name = "from the smallest to the largest", .low = &loads.smallest, .high = &loads.largest},
                 {.name = "the middle 80 % of the experts", .low = &loads.lower, .high = &loads.upper}},
       .lines = {{.name = "median", .series = &loads.median}},
       .log_from = 0.1,
       .wide = true},
      run.scalars.first_step, last_step(run, loads));
}

}  // namespace

std::string load_figures(const RunData& run, const RunLoads& loads) {
  std::string out;
  if (loads.idle.greatest().value > 0) {
    out += chart_html({.title = "Experts without a token",
                       .unit = fmt::format("of {}", count_text(loads.experts())),
                       .lines = {{.name = "experts", .series = &loads.idle}},
                       .from_zero = true},
                      run.scalars.first_step, last_step(run, loads));
  }
  const std::string title = fmt::format("Experts at step {}", count_text(loads.last_step));
  return out + spread_over_time(run, loads) + layers_over_time(loads) + experts_at_the_end(loads, title);
}

}  // namespace fathom
