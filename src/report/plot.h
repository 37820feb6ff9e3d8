// What charts and heat maps share: the frame with its ticks. The picture itself is an SVG that is stretched to whatever
// room the page gives it, lines keeping their width; the texts of the axes are HTML beside it, so that they are as
// large on a phone as anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// The size of a picture in its own units: fine enough that whole numbers do.
inline constexpr int kPlotWidth = 4000, kPlotHeight = 1000;

struct AxisTick {
  double place = 0;  // from 0 (left, low) to 1
  std::string text;
};

struct Plot {
  std::string_view title = {}, unit = {};  // what is drawn and in what; the unit may be empty
  std::string_view x_label = {};
  std::vector<AxisTick> x_ticks = {}, y_ticks = {};
  std::string svg = {};      // what the picture holds
  std::string over = {};     // HTML above it
  std::string below = {};    // HTML under the axis: legend, notes
  std::string summary = {};  // what it shows, in words, for those who cannot see it
  int height = 180;          // CSS pixels
  bool wide = false;         // it takes the whole width of the page
  bool grid = true;          // lines behind the picture at y_ticks
};

// A <figure>. All members but svg, over and below are plain text.
std::string plot_html(const Plot& plot);

int plot_x(double place);           // in units of the picture
int plot_y(double place);           // upwards from 0 to 1; the picture's y goes down
std::string percent(double place);  // "12.5%"

// Ticks at steps on an axis from `first` to `last`.
std::vector<AxisTick> step_axis(double first, double last);

}  // namespace fathom
