#include "report/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>

namespace fathom {
namespace {

// A tick that rounding has moved off an end still stands on the axis.
constexpr double kSlack = 1e-9;

std::string without_zeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

// "1.50e-05" as "1.5e-5".
std::string short_exponent(const std::string& text) {
  const size_t e = text.find('e');
  if (e == std::string::npos) return text;
  std::string digits = text.substr(e + 2);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return without_zeros(text.substr(0, e)) + (text[e + 1] == '-' ? "e-" : "e") + digits;
}

}  // namespace

double Scale::place(double value) const {
  const double part = logarithmic ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
                                  : (value / 2 - low / 2) / (high / 2 - low / 2);  // halves, for the span may overflow
  return std::clamp(part, 0.0, 1.0);
}

double tick_step(double span, int count) {
  const double raw = span / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - kSlack)) return factor * power;
  }
  return 10 * power;
}

Scale linear_scale(double least, double greatest, int count) {
  const double size = std::max(std::abs(least), std::abs(greatest));
  // Values that differ in their last bits alone are one value; halves keep the span of any two within range.
  if (!(greatest / 2 - least / 2 > size * 1e-7)) {
    const double room = size > 0 ? size * 0.1 : 1;
    least -= room;
    greatest += room;
  }
  const double step = 2 * tick_step(greatest / 2 - least / 2, count);
  const double low = std::floor(least / step + kSlack) * step, high = std::ceil(greatest / step - kSlack) * step;
  if (std::isfinite(low) && std::isfinite(high)) return {.low = low, .high = high};
  return {.low = least, .high = greatest};
}

Scale log_scale(double least, double greatest) {
  const double low = std::pow(10, std::floor(std::log10(least) + kSlack));
  const double high = std::pow(10, std::ceil(std::log10(greatest) - kSlack));
  // The ends of a wide axis are powers of ten; of a narrow one that would leave most of it empty.
  if (greatest / least > 1e3 && low > 0 && std::isfinite(high)) return {.low = low, .high = high, .logarithmic = true};
  return {.low = least / 1.1, .high = std::max(greatest * 1.1, least * 1.2), .logarithmic = true};
}

std::vector<double> ticks(const Scale& scale, int count) {
  std::vector<double> out;
  if (!scale.logarithmic) {
    const double step = tick_step(scale.high - scale.low, count);
    const double slack = step * kSlack;
    if (!std::isfinite(step)) return {scale.low, scale.high};
    for (double i = std::ceil(scale.low / step - kSlack); i * step <= scale.high + slack; ++i) out.push_back(i * step);
    return out;
  }
  const int first = static_cast<int>(std::ceil(std::log10(scale.low) - kSlack));
  const int last = static_cast<int>(std::floor(std::log10(scale.high) + kSlack));
  const int stride = std::max(1, (last - first + count) / count);
  const bool between = last - first < 2;
  for (int power = first - 1; power <= last; ++power) {
    for (double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && !between) continue;
      if ((power - first) % stride != 0) continue;
      const double tick = factor * std::pow(10, power);
      if (tick >= scale.low * (1 - kSlack) && tick <= scale.high * (1 + kSlack)) out.push_back(tick);
    }
  }
  return out;
}

std::vector<double> step_ticks(const Scale& scale, int count) {
  std::vector<double> out;
  const double step = std::max(1.0, tick_step(scale.high - scale.low, count));
  for (double i = std::ceil(scale.low / step); i * step <= scale.high; ++i) out.push_back(i * step);
  return out;
}

std::string tick_text(double value, double step) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  const bool small = size < 1e-3 || (size < 0.1 && step > 0 && step < 1e-3);
  if (small || size >= 1e15) return short_exponent(fmt::format("{:.2e}", value));
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array<Unit, 4> kUnits = {{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  for (const Unit& unit : kUnits) {
    // 1,500 with a step of 500 is "1.5k", but 1,010 with a step of 5 stays as it is.
    if (size < unit.size || (step > 0 && step < unit.size / 100)) continue;
    return without_zeros(fmt::format("{:.2f}", value / unit.size)) + unit.name;
  }
  const double finest = step > 0 ? step : size;
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(finest) - kSlack)), 0, 6);
  return without_zeros(fmt::format("{:.{}f}", value, decimals));
}

std::string count_text(long long count) {
  const std::string digits = std::to_string(std::llabs(count));
  std::string out = count < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "infinite" : "-infinite";
  const double size = std::abs(value);
  if (size >= 999.5 && size < 1e15) return count_text(std::llround(value));
  return short_exponent(fmt::format("{:.4g}", value));
}

}  // namespace fathom
