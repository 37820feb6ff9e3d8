#include "report/plot.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "report/html.h"
#include "report/scale.h"

namespace fathom {
namespace {

constexpr int kStepTicks = 5;  // "1.25M" six times fits into 230 pixels

std::string labels(std::string_view axis, std::string_view edge, const std::vector<AxisTick>& ticks) {
  std::string out = fmt::format("<div class=\"{}\" aria-hidden=\"true\">", axis);
  for (const AxisTick& tick : ticks) {
    // CSS counts from the top.
    const double place = edge == "top" ? 1 - tick.place : tick.place;
    out += fmt::format("<span style=\"{}:{}\">{}</span>", edge, percent(place), html(tick.text));
  }
  return out + "</div>\n";
}

}  // namespace

int plot_x(double place) { return static_cast<int>(std::lround(place * kPlotWidth)); }
int plot_y(double place) { return static_cast<int>(std::lround((1 - place) * kPlotHeight)); }
std::string percent(double place) { return fmt::format("{:.4g}%", place * 100); }

std::vector<AxisTick> step_axis(double first, double last) {
  const Scale scale{.low = first, .high = last};
  const double step = tick_step(last - first, kStepTicks);
  std::vector<AxisTick> out;
  for (double tick : step_ticks(scale, kStepTicks)) out.push_back({scale.place(tick), tick_text(tick, step)});
  return out;
}

std::string plot_html(const Plot& plot) {
  std::string out =
      fmt::format("<figure class=\"card{}\">\n<figcaption>{}", plot.wide ? " wide" : "", html(plot.title));
  if (!plot.unit.empty()) out += fmt::format(" <small>{}</small>", html(plot.unit));
  out += fmt::format("</figcaption>\n<div class=\"plot\" style=\"--h:{}px\">\n", plot.height);
  out += labels("ys", "top", plot.y_ticks);
  out += fmt::format(
      "<div class=\"area\">\n<svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\n",
      kPlotWidth, kPlotHeight, html(plot.summary));
  if (plot.grid) {
    out += "<path class=\"grid\" d=\"";
    for (const AxisTick& tick : plot.y_ticks) {
      fmt::format_to(std::back_inserter(out), "M0 {}H{}", plot_y(tick.place), kPlotWidth);
    }
    out += "\"/>\n";
  }
  out += plot.svg + "</svg>\n" + plot.over + "</div>\n";
  out += labels("xs", "left", plot.x_ticks);
  out += fmt::format("<div class=\"xl\" aria-hidden=\"true\">{}</div>\n</div>\n{}</figure>\n", html(plot.x_label),
                     plot.below);
  return out;
}

}  // namespace fathom
