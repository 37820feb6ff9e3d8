#include "base/strided_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace fathom {
namespace {

// Moves an array into another order of its axes, element by element.
template <class T>
std::vector<T> permuted(const std::vector<T>& from, const std::vector<int64_t>& sizes,
                        const std::vector<size_t>& order) {
  std::vector<int64_t> sizes_there;
  for (size_t axis : order) sizes_there.push_back(sizes[axis]);
  const auto here = row_major_strides(sizes), there = row_major_strides(sizes_there);
  std::vector<T> out(from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    int64_t to = 0;
    for (size_t k = 0; k < order.size(); ++k) {
      to += static_cast<int64_t>(i) / here[order[k]] % sizes[order[k]] * there[k];
    }
    out[static_cast<size_t>(to)] = from[i];
  }
  return out;
}

template <class T>
void expect_every_order(const std::vector<int64_t>& sizes) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<T> from(
      static_cast<size_t>(std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>())));
  std::iota(from.begin(), from.end(), T{1});
  do {
    std::vector<int64_t> sizes_there;
    for (size_t axis : order) sizes_there.push_back(sizes[axis]);
    const auto here = row_major_strides(sizes), there = row_major_strides(sizes_there);
    std::vector<StridedAxis> axes(sizes.size());
    for (size_t k = 0; k < order.size(); ++k) axes[order[k]] = {sizes[order[k]], here[order[k]], there[k]};
    std::vector<T> to(from.size());
    strided_copy(sizeof(T), reinterpret_cast<const std::byte*>(from.data()), reinterpret_cast<std::byte*>(to.data()),
                 axes);
    EXPECT_EQ(to, permuted(from, sizes, order)) << testing::PrintToString(sizes) << testing::PrintToString(order);
  } while (std::ranges::next_permutation(order).found);
}

TEST(StridedCopy, EveryOrderOfTheAxesInEveryWidth) {
  for (const std::vector<int64_t>& sizes : std::vector<std::vector<int64_t>>{
           {}, {5}, {8, 8}, {70, 65}, {3, 17, 9}, {1, 130, 1, 71}, {2, 3, 4, 5}, {64, 1, 64}, {2, 0, 3}}) {
    expect_every_order<uint8_t>(sizes);
    expect_every_order<uint16_t>(sizes);
    expect_every_order<uint32_t>(sizes);
    expect_every_order<uint64_t>(sizes);
  }
}

TEST(BoxesOfRun, CoverTheRunOnceAndInOrder) {
  std::mt19937 bits(3);
  for (const std::vector<int64_t>& sizes :
       std::vector<std::vector<int64_t>>{{}, {7}, {4, 5}, {3, 4, 5}, {2, 1, 3, 4}, {1, 1, 6}}) {
    const int64_t all = std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
    const auto strides = row_major_strides(sizes);
    for (int round = 0; round < 50; ++round) {
      const int64_t first = static_cast<int64_t>(bits() % static_cast<uint32_t>(all));
      const int64_t count = static_cast<int64_t>(bits() % static_cast<uint32_t>(all - first + 1));
      int64_t next = first, boxes = 0;
      for_each_box_of_run(sizes, first, count, [&](std::span<const int64_t> start, std::span<const int64_t> extent) {
        int64_t at = 0, elements = 1;
        for (size_t i = 0; i < sizes.size(); ++i) {
          at += start[i] * strides[i];
          elements *= extent[i];
          EXPECT_LE(start[i] + extent[i], sizes[i]);
        }
        EXPECT_EQ(at, next);
        next += elements;
        ++boxes;
      });
      EXPECT_EQ(next, first + count);
      EXPECT_LE(boxes, std::max<int64_t>(1, 2 * static_cast<int64_t>(sizes.size()) - 1));
    }
  }
}

}  // namespace
}  // namespace fathom
