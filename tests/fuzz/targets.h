// The parsers of files that others made, each fed with any bytes.
#pragma once

#include <span>
#include <string_view>

namespace fathom {

// `run` reads the input as a file of its kind: it may throw an Error, and nothing else may happen.
struct FuzzTarget {
  std::string_view name;
  void (*run)(std::string_view input);
};

std::span<const FuzzTarget> fuzz_targets();

}  // namespace fathom
