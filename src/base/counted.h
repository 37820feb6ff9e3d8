// Numbers of things inside messages.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

// "1 row", "2 rows"; "1 batch", "2 batches" where the plural is given.
inline std::string counted(int64_t count, std::string_view one, std::string_view many = "") {
  if (count != 1 && !many.empty()) return fmt::format("{} {}", count, many);
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

}  // namespace fathom
