// Figures as messages show them.
#pragma once

#include <fmt/format.h>

#include <string>

namespace fathom {

// "48.10 GB": in units of 10^9 bytes, as every size is that fathom prints without saying GiB.
template <class Bytes>
std::string gigabytes(Bytes bytes) {
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) * 1e-9);
}

}  // namespace fathom
