#include "config/problems.h"

#include <fmt/ranges.h>

#include "base/error.h"

namespace fathom {

void Problems::throw_if_any() const {
  if (lines_.empty()) return;
  if (lines_.size() == 1) throw ConfigError(lines_[0]);
  throw ConfigError(fmt::format("{} mistakes in the configuration:\n  {}", lines_.size(), fmt::join(lines_, "\n  ")));
}

}  // namespace fathom
