#include <fmt/format.h>

#include <cmath>

#include "config/keys/keys.h"

namespace fathom {

bool KeyRange::holds(double value) const {
  if (!std::isfinite(value)) return false;
  if (or_minus_one && value == -1) return true;
  return (above ? value > least : value >= least) && (below ? value < most : value <= most);
}

std::string KeyRange::text() const {
  const KeyRange all;
  const bool bounded_below = least != all.least, bounded_above = most != all.most;
  std::string out;
  if (bounded_below && bounded_above && !above && !below && std::abs(most) <= 1) {
    out = fmt::format("between {} and {}", least, most);
  } else {
    if (bounded_below) out = fmt::format("{} {}", above ? "above" : "at least", least);
    if (bounded_above) out += fmt::format("{}{} {}", out.empty() ? "" : " and ", below ? "below" : "at most", most);
  }
  return or_minus_one ? out + ", or -1" : out;
}

}  // namespace fathom
