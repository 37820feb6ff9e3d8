#include "report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

#include "report/html.h"

namespace fathom {
namespace {

// A load of 1 is an expert's share; steps of a factor on either side of it.
constexpr std::array<HeatClass, 9> kLoads = {{{std::numeric_limits<double>::min(), "0"},
                                              {0.25, "< 1/4"},
                                              {0.5, "< 1/2"},
                                              {0.8, "< 0.8"},
                                              {1.25, "0.8 to 1.25"},
                                              {2, "< 2"},
                                              {4, "< 4"},
                                              {8, "< 8"},
                                              {std::numeric_limits<double>::infinity(), "8 and more"}}};
constexpr size_t kLabels = 12;  // of rows
constexpr int kRowPixels = 16;
constexpr int kLeastHeight = 60, kMostHeight = 420;

// Neighbours of one class in a row are one stroke, as high as the row.
std::string class_path(const HeatMap& map, size_t of_class) {
  std::string out;
  const double height = 1.0 / static_cast<double>(map.rows.size());
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const std::vector<HeatCell>& cells = map.rows[r].cells;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (load_class(cells[i].value) != of_class) continue;
      size_t end = i + 1;
      while (end < cells.size() && cells[end].left == cells[end - 1].right &&
             load_class(cells[end].value) == of_class) {
        ++end;
      }
      const int left = plot_x(cells[i].left), right = plot_x(cells[end - 1].right);
      fmt::format_to(std::back_inserter(out), "M{} {}h{}", left, plot_y(1 - (static_cast<double>(r) + 0.5) * height),
                     std::max(right - left, 1));
      i = end - 1;
    }
  }
  return out;
}

std::string scale_legend() {
  std::string out = "<ul class=\"loads\">";
  for (size_t i = 0; i < kLoads.size(); ++i) {
    out += fmt::format("<li><span class=\"swatch q{}\"></span>{}</li>", i, html(kLoads[i].text));
  }
  return out + "</ul>\n";
}

}  // namespace

size_t load_class(double load) {
  size_t i = 0;
  while (i + 1 < kLoads.size() && !(load < kLoads[i].below)) ++i;
  return i;
}

std::string heat_map_html(const HeatMap& map) {
  Plot plot{.title = map.title, .unit = map.unit, .x_label = map.x_label, .x_ticks = map.x_ticks};
  const auto rows = static_cast<double>(map.rows.size());
  const size_t every = (map.rows.size() + kLabels - 1) / kLabels;
  for (size_t r = 0; r < map.rows.size(); r += every) {
    plot.y_ticks.push_back({1 - (static_cast<double>(r) + 0.5) / rows, map.rows[r].name});
  }
  for (size_t i = 0; i < kLoads.size(); ++i) {
    const std::string d = class_path(map, i);
    if (!d.empty()) plot.svg += fmt::format("<path class=\"heat q{}\" d=\"{}\"/>\n", i, d);
  }
  // A little more than a row's part of the picture, so that no hairline of the ground shows between rows.
  plot.svg = fmt::format("<g stroke-width=\"{:.1f}\">\n{}</g>\n", kPlotHeight / rows + 0.5, plot.svg);
  plot.height = std::clamp(static_cast<int>(map.rows.size()) * kRowPixels, kLeastHeight, kMostHeight);
  plot.wide = true;
  plot.grid = false;
  plot.summary = map.summary;
  plot.below = scale_legend();
  if (!map.note.empty()) plot.below += fmt::format("<p class=\"note\">{}</p>\n", html(map.note));
  return plot_html(plot);
}

}  // namespace fathom
