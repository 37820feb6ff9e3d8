// Elements moved from one order of axes to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace fathom {

// An axis of the elements that are moved: how many, and how far apart they lie on either side, in elements.
struct StridedAxis {
  int64_t size = 0;
  int64_t from = 0, to = 0;
};

// Copies elements of `width` bytes (1, 2, 4 or 8), aligned to it; source and target do not overlap. The axes stand in
// the order of the source, the slowest first. Where the fastest axes differ it transposes in tiles.
void strided_copy(int64_t width, const std::byte* source, std::byte* target, std::span<const StridedAxis> axes);

// The distance between neighbours along each axis of a row-major array, in elements.
std::vector<int64_t> row_major_strides(std::span<const int64_t> sizes);

// Calls box(start, sizes) for boxes that together are the elements [first, first + count) of a row-major array.
void for_each_box_of_run(std::span<const int64_t> sizes, int64_t first, int64_t count,
                         const std::function<void(std::span<const int64_t>, std::span<const int64_t>)>& box);

}  // namespace fathom
