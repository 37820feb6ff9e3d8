#include "report/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "report/html.h"
#include "report/plot.h"
#include "report/scale.h"

namespace fathom {
namespace {

constexpr int kValueTicks = 5;
// From here on a linear axis would press most of the curve into its lowest part.
constexpr double kWide = 30;
constexpr size_t kSmoothed = 20;    // values from which on a mean is drawn
constexpr int64_t kWindows = 50;    // windows of the mean beside each other
constexpr int kNarrowestMark = 10;  // of kPlotWidth

struct Axes {
  Scale x, y;
  int at(int64_t step) const { return plot_x(x.place(static_cast<double>(step))); }
  int at(const Bucket& bucket) const {
    return plot_x(x.place(static_cast<double>(bucket.first) / 2 + static_cast<double>(bucket.last) / 2));
  }
  int up(double value) const { return plot_y(y.place(value)); }
};

// The d of a path, point by point.
class Pen {
 public:
  void lift() {
    if (down_ && alone_) out_ += "h0";  // a stroke of no length: a dot, its ends being round
    down_ = false;
  }
  void to(int x, int y) {
    fmt::format_to(std::back_inserter(out_), "{}{} {}", down_ ? 'L' : 'M', x, y);
    alone_ = !std::exchange(down_, true);
  }
  std::string take() {
    lift();
    return std::move(out_);
  }

 private:
  std::string out_;
  bool down_ = false, alone_ = false;
};

// Each bucket from its least to its greatest value, the nearer one first. The line breaks where values are not finite.
std::string raw_path(const Series& series, const Axes& axes) {
  Pen pen;
  double before = 0;
  for (const Bucket& bucket : series.buckets()) {
    if (bucket.broken()) pen.lift();
    if (bucket.finite == 0) continue;
    const int x = axes.at(bucket);
    double near = bucket.least, far = bucket.greatest;
    if (std::abs(before - far) < std::abs(before - near)) std::swap(near, far);
    pen.to(x, axes.up(near));
    if (axes.up(near) != axes.up(far)) pen.to(x, axes.up(far));
    before = far;
    if (bucket.broken()) pen.lift();
  }
  return pen.take();
}

std::string smooth_path(const Series& series, int64_t reach, const Axes& axes) {
  Pen pen;
  const std::vector<double> means = moving_mean(series, reach);
  for (size_t i = 0; i < means.size(); ++i) {
    const Bucket& bucket = series.buckets()[i];
    if (bucket.finite == 0) pen.lift();
    if (bucket.finite > 0) pen.to(axes.at(bucket), axes.up(means[i]));
  }
  return pen.take();
}

std::string dots_path(const Series& series, const Axes& axes) {
  std::string out;
  for (const Bucket& bucket : series.buckets()) {
    if (bucket.finite == 0) continue;
    fmt::format_to(std::back_inserter(out), "M{} {}h0", axes.at(bucket), axes.up(bucket.mean()));
  }
  return out;
}

std::string band_path(const ChartBand& band, const Axes& axes) {
  Pen pen;
  for (const Bucket& bucket : band.high->buckets()) pen.to(axes.at(bucket), axes.up(bucket.greatest));
  const std::span<const Bucket> low = band.low->buckets();
  for (size_t i = low.size(); i-- > 0;) pen.to(axes.at(low[i]), axes.up(low[i].least));
  return pen.take() + "z";
}

// Upright bars where values are not finite: [left, right] in the picture's units.
std::vector<std::pair<int, int>> broken_places(const Series& series, const Axes& axes) {
  std::vector<std::pair<int, int>> out;
  for (const Bucket& bucket : series.buckets()) {
    if (!bucket.broken()) continue;
    const int left = axes.at(bucket.first), right = std::max(axes.at(bucket.last), left + kNarrowestMark);
    // Bars that touch are one.
    if (!out.empty() && left <= out.back().second + kNarrowestMark) {
      out.back().second = std::max(out.back().second, right);
    } else {
      out.emplace_back(left, right);
    }
  }
  return out;
}

std::string path(std::string_view classes, const std::string& d) {
  return d.empty() ? "" : fmt::format("<path class=\"{}\" d=\"{}\"/>\n", classes, d);
}

// How many buckets the mean reaches to either side; nothing where there are too few values for one.
std::optional<int64_t> reach_of(const ChartLine& line) {
  const std::span<const Bucket> all = line.series->buckets();
  if (!line.smooth || all.size() < kSmoothed) return std::nullopt;
  return std::max<int64_t>(3, (all.back().index + 1) / kWindows / 2);
}

// What a thin and a thick line are, where that is not plain.
std::string how_drawn(const LineChart& chart) {
  for (const ChartLine& line : chart.lines) {
    if (line.points) continue;
    const bool thinned = line.series->size() > std::ssize(line.series->buckets());
    const int64_t width = thinned ? line.series->bucket_steps() : 1;
    const std::optional<int64_t> reach = reach_of(line);
    if (width == 1 && !reach) continue;
    std::string out = width == 1 ? "Thin: each value."
                                 : fmt::format("{} least to greatest of every {} steps.", reach ? "Thin:" : "From",
                                               count_text(width));
    if (reach)
      out += fmt::format(" Thick: mean of up to {} steps.", count_text((2 * *reach + 1) * line.series->bucket_steps()));
    return out;
  }
  return "";
}

std::string axis_note(const LineChart& chart) {
  if (chart.log_from == 0) return "The axis is logarithmic.";
  return fmt::format("The axis is logarithmic; what is below {} stands at its foot.", number_text(chart.log_from));
}

std::string value_cell(const StepValue& value) {
  return fmt::format("<td>{}<small>at {}</small></td>", html(number_text(value.value)), count_text(value.step));
}

std::string legend_row(std::string_view key, const ChartLine& line) {
  const Series& series = *line.series;
  std::string out = fmt::format(
      "<tr><th scope=\"row\"><svg class=\"key\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path "
      "class=\"{}\" d=\"M2 4{}\"/></svg>{}</th>",
      key, line.points ? "h20M12 4h0" : "h20", html(line.name));
  out += value_cell(series.last());
  if (series.finite() == 0) return out + "<td></td><td></td></tr>\n";
  return out + value_cell(series.least()) + value_cell(series.greatest()) + "</tr>\n";
}

std::string broken_note(const ChartLine& line) {
  const Series& series = *line.series;
  if (series.nan() + series.infinite() == 0) return "";
  return fmt::format(
      "<p class=\"warn\"><span class=\"badkey\" aria-hidden=\"true\"></span>{}: {} NaN and {} infinite of {} values, "
      "the "
      "first at step {}</p>\n",
      html(line.name), count_text(series.nan()), count_text(series.infinite()), count_text(series.size()),
      count_text(series.first_broken().step));
}

std::string legend(const LineChart& chart) {
  std::string out =
      "<table class=\"legend\"><thead><tr><td></td><th>last</th><th>least</th><th>greatest</th></tr></thead>\n<tbody>";
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    out += legend_row(fmt::format("line c{}{}", i, reach_of(chart.lines[i]) ? " mean" : ""), chart.lines[i]);
  }
  for (size_t i = 0; i < chart.bands.size(); ++i) {
    out += fmt::format(
        "<tr><th scope=\"row\" colspan=\"4\"><svg class=\"key\" viewBox=\"0 0 24 8\" "
        "aria-hidden=\"true\"><path class=\"band b{}\" d=\"M2 0h20v8h-20z\"/></svg>{}</th></tr>\n",
        i, html(chart.bands[i].name));
  }
  out += "</tbody></table>\n";
  for (const ChartLine& line : chart.lines) out += broken_note(line);
  return out;
}

// The least and the greatest finite value of all that is drawn; least above greatest when there is none.
std::pair<double, double> extent(const LineChart& chart) {
  double least = std::numeric_limits<double>::infinity(), greatest = -least;
  auto take = [&](const Series& series) {
    if (series.finite() == 0) return;
    least = std::min(least, series.least().value);
    greatest = std::max(greatest, series.greatest().value);
  };
  for (const ChartLine& line : chart.lines) take(*line.series);
  for (const ChartBand& band : chart.bands) {
    take(*band.low);
    take(*band.high);
  }
  return {least, greatest};
}

Scale value_scale(const LineChart& chart) {
  auto [least, greatest] = extent(chart);
  if (least > greatest) return {};
  if (chart.log_from > 0) return log_scale(chart.log_from, std::max(greatest, 10 * chart.log_from));
  if (chart.log_if_wide && least > 0 && greatest / least >= kWide) return log_scale(least, greatest);
  if (chart.from_zero) least = std::min(least, 0.0);
  return linear_scale(least, greatest, kValueTicks);
}

void draw_line(Plot& plot, const ChartLine& line, size_t number, const Axes& axes) {
  const std::optional<int64_t> reach = reach_of(line);
  plot.svg += path(fmt::format("line c{}{}", number, reach ? " raw" : ""), raw_path(*line.series, axes));
  if (line.points) plot.svg += path(fmt::format("dots c{}", number), dots_path(*line.series, axes));
  if (reach) plot.svg += path(fmt::format("line mean c{}", number), smooth_path(*line.series, *reach, axes));
  std::string bars;
  for (const auto& [left, right] : broken_places(*line.series, axes)) {
    fmt::format_to(std::back_inserter(bars), "M{} 0H{}V{}H{}z", left, right, kPlotHeight, left);
    if (plot.over.empty()) {
      plot.over = fmt::format("<span class=\"badmark\" style=\"left:{}\">not finite</span>\n",
                              percent(static_cast<double>(left) / kPlotWidth));
    }
  }
  plot.svg += path("bad", bars);
}

std::string summary(const LineChart& chart) {
  std::string out(chart.title);
  for (const ChartLine& line : chart.lines) {
    out += fmt::format("; {}: last {}", line.name, number_text(line.series->last().value));
    if (line.series->finite() == 0) continue;
    out += fmt::format(", least {}, greatest {}", number_text(line.series->least().value),
                       number_text(line.series->greatest().value));
  }
  return out;
}

}  // namespace

std::string chart_html(const LineChart& chart, int64_t first, int64_t last) {
  // A single step stands in the middle.
  const double room = first == last ? 0.5 : 0;
  const double left = static_cast<double>(first) - room, right = static_cast<double>(last) + room;
  const Axes axes{.x = {.low = left, .high = right}, .y = value_scale(chart)};
  Plot plot{.title = chart.title, .unit = chart.unit, .x_label = "step", .x_ticks = step_axis(left, right)};
  plot.summary = summary(chart);
  plot.wide = chart.wide;
  plot.height = chart.wide ? 300 : 180;
  const double tick = axes.y.logarithmic ? 0 : tick_step(axes.y.high - axes.y.low, kValueTicks);
  const auto [least, greatest] = extent(chart);
  if (least <= greatest) {
    for (double value : ticks(axes.y, kValueTicks))
      plot.y_ticks.push_back({axes.y.place(value), tick_text(value, tick)});
  }
  for (size_t i = 0; i < chart.bands.size(); ++i) {
    plot.svg += path(fmt::format("band b{}", i), band_path(chart.bands[i], axes));
  }
  for (size_t i = 0; i < chart.lines.size(); ++i) draw_line(plot, chart.lines[i], i, axes);
  std::string note = how_drawn(chart);
  if (axes.y.logarithmic) note += std::string(note.empty() ? "" : " ") + axis_note(chart);
  plot.below = legend(chart);
  if (!note.empty()) plot.below += fmt::format("<p class=\"note\">{}</p>\n", html(note));
  return plot_html(plot);
}

}  // namespace fathom
