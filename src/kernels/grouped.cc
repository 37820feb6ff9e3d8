#include "kernels/grouped.h"

#include <fmt/format.h>

#include <stdexcept>

namespace fathom {

void check_group_sizes(std::span<const int32_t> group_sizes, int64_t m) {
  int64_t sum = 0;
  for (size_t e = 0; e < group_sizes.size(); ++e) {
    if (group_sizes[e] < 0) throw std::invalid_argument(fmt::format("group {} has {} rows", e, group_sizes[e]));
    sum += group_sizes[e];
  }
  if (sum > m) throw std::invalid_argument(fmt::format("the group sizes sum to {}, more than the {} rows", sum, m));
}

}  // namespace fathom
