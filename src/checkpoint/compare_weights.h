// Whether two stores of weights hold the same: names, types, shapes, bytes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/stored_weights.h"

namespace fathom {

struct WeightsDifferences {
  int64_t count = 0;
  std::vector<std::string> lines;  // the first ones, a line each
  int64_t bytes = 0;               // that were compared
};

inline constexpr size_t kListedDifferences = 100;

// Fills memory with the elements of a box of a tensor, row-major.
using ReadBox = std::function<void(const ArraySlice& box, std::span<std::byte> out)>;

// Boxes that a tensor is read in, of at most `bytes` each (a single element may be more), in order; each is contiguous.
std::vector<ArraySlice> boxes_of(const StoredTensor& tensor, int64_t bytes);

// Compares two stores tensor by tensor by their names; both are of one format.
WeightsDifferences compare_weights(const StoredWeights& a, const StoredWeights& b);

}  // namespace fathom
