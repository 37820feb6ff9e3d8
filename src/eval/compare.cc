#include "eval/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace fathom {
namespace {

constexpr double kNotComparable = std::numeric_limits<double>::infinity();

struct Worst {
  double difference = 0;
  size_t index = 0;
};

// A NaN on either side counts as infinitely far, unless written so in the reference too: no reference holds one.
Worst worst_difference(std::span<const float> got, std::span<const float> want) {
  Worst worst;
  for (size_t i = 0; i < got.size(); ++i) {
    double d = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    if (!(d <= worst.difference)) worst = {std::isnan(d) ? kNotComparable : d, i};
    if (worst.difference == kNotComparable) break;
  }
  return worst;
}

std::string sizes_differ(const std::string& where, size_t got, size_t want) {
  return fmt::format("{}: {} elements instead of {}", where, got, want);
}

}  // namespace

double l2_norm(const HostArray& array) {
  double sum = 0;
  for (float x : array.view<float>()) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum);
}

void Comparison::note(double difference, std::string where) {
  ++count_;
  if (failure_.empty() && (where_.empty() || !(difference <= worst_))) {
    worst_ = std::isnan(difference) ? kNotComparable : difference;
    where_ = std::move(where);
  }
}

void Comparison::fail(const std::string& what) {
  ++count_;
  worst_ = kNotComparable;
  if (failure_.empty()) failure_ = what;
}

double Comparison::severity() const {
  if (worst_ == 0) return 0;
  return tolerance_ > 0 ? worst_ / tolerance_ : kNotComparable;
}

void Comparison::absolute(std::span<const float> got, std::span<const float> want, const std::string& where) {
  if (got.size() != want.size()) return fail(sizes_differ(where, got.size(), want.size()));
  if (got.empty()) return;
  Worst w = worst_difference(got, want);
  note(w.difference, fmt::format("{}[{}]: {} instead of {}", where, w.index, got[w.index], want[w.index]));
}

void Comparison::relative_to_max(std::span<const float> got, std::span<const float> want, const std::string& where) {
  if (got.size() != want.size()) return fail(sizes_differ(where, got.size(), want.size()));
  if (got.empty()) return;
  double scale = 0;
  for (float x : want) scale = std::max(scale, std::abs(static_cast<double>(x)));
  Worst w = worst_difference(got, want);
  double relative = w.difference == 0 ? 0 : (scale == 0 ? kNotComparable : w.difference / scale);
  note(relative, fmt::format("{}[{}]: {} instead of {}", where, w.index, got[w.index], want[w.index]));
}

void Comparison::relative(double got, double want, const std::string& where) {
  double d = std::abs(got - want);
  note(d == 0 ? 0 : d / std::abs(want), fmt::format("{}: {} instead of {}", where, got, want));
}

void Comparison::absolute(double got, double want, const std::string& where) {
  note(std::abs(got - want), fmt::format("{}: {} instead of {}", where, got, want));
}

void Comparison::exact(std::span<const int32_t> got, std::span<const int32_t> want, const std::string& where) {
  if (got.size() != want.size()) return fail(sizes_differ(where, got.size(), want.size()));
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] != want[i]) return fail(fmt::format("{}[{}]: {} instead of {}", where, i, got[i], want[i]));
  }
  note(0, where);
}

}  // namespace fathom
