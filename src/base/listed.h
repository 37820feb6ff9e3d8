// Lists inside messages.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>

namespace fathom {

// "a, b, c and 4 more": the first `limit` of the items, which fmt can print, and how many more there are.
template <class Items>
std::string listed(const Items& items, size_t limit) {
  size_t count = std::size(items);
  size_t shown = std::min(count, limit);
  auto begin = std::begin(items);
  std::string out = fmt::format("{}", fmt::join(begin, std::next(begin, static_cast<ptrdiff_t>(shown)), ", "));
  return shown < count ? fmt::format("{} and {} more", out, count - shown) : out;
}

}  // namespace fathom
