// Arrays of which any part can be had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/array_slice.h"

namespace fathom {

class ArraySource {
 public:
  virtual ~ArraySource() = default;

  // Fills slices of array `index`, which do not overlap, with its numbers in its dtype. Thread-safe.
  virtual void fill(size_t index, std::span<const SliceMemory> slices) const = 0;
  // The parts of an array that are best read together, each on its own: along each axis of the array the length that
  // what it is read from is cut in whole multiples of, at most the axis's own.
  virtual std::vector<int64_t> grain(size_t index) const = 0;
};

}  // namespace fathom
