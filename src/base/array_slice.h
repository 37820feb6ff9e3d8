// A part of an array: how its elements lie in the whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/host_array.h"

namespace fathom {

// A box of an array: along each axis the first element and how many.
struct ArraySlice {
  std::vector<int64_t> start;
  std::vector<int64_t> sizes;

  int64_t elements() const;
  friend auto operator<=>(const ArraySlice&, const ArraySlice&) = default;
};

// What two boxes of one array share; nothing when that is empty.
std::optional<ArraySlice> intersection(const ArraySlice& a, const ArraySlice& b);

// Elements of an array of these sizes; 1 for rank 0.
int64_t element_count(std::span<const int64_t> sizes);

// A slice and the memory for its elements, row-major.
struct SliceMemory {
  ArraySlice slice;
  std::byte* data = nullptr;
};

// The pieces of a slice that are contiguous in the whole array too; all of one length.
class SliceRuns {
 public:
  SliceRuns(const std::vector<int64_t>& whole, const ArraySlice& slice);
  int64_t count() const { return count_; }
  // Elements of each run.
  int64_t length() const { return length_; }
  // Where run k begins in the whole; it grows with k. In the slice it begins at k * length().
  int64_t place(int64_t k) const;

 private:
  int64_t count_ = 0;
  int64_t length_ = 0;
  int64_t first_ = 0;
  std::vector<int64_t> sizes_, strides_;  // of the axes that the runs count, outermost first
};

// Calls run(offset in the whole, offset in the slice, count) for each piece of the elements [begin, end) of the whole
// that the slice has, in order; all in elements.
template <class Run>
void for_each_run(const SliceRuns& runs, int64_t begin, int64_t end, Run run) {
  int64_t low = 0, high = runs.count();  // the first run that ends behind `begin`
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (runs.place(middle) + runs.length() <= begin) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; low < runs.count(); ++low) {
    const int64_t place = runs.place(low);
    if (place >= end) return;
    const int64_t from = std::max(place, begin);
    run(from, low * runs.length() + from - place, std::min(place + runs.length(), end) - from);
  }
}

// The elements of a slice: a view of the whole where they stand in one piece, else a copy.
HostArray cut(const HostArray& whole, const ArraySlice& slice);
// Writes the elements of a slice into their place in `whole`.
void paste(HostArray& whole, const ArraySlice& slice, const HostArray& part);

}  // namespace fathom
