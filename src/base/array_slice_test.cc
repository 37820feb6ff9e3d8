#include "base/array_slice.h"

#include <gmock/gmock.h>

#include <numeric>

namespace fathom {
namespace {

using testing::ElementsAre;

HostArray iota(std::vector<int64_t> sizes) {
  HostArray out = HostArray::allocate(DType::kS32, std::move(sizes));
  auto view = out.mutable_view<int32_t>();
  std::iota(view.begin(), view.end(), 0);
  return out;
}

TEST(Cut, ContiguousSlicesAreViewsAndOthersCopies) {
  HostArray whole = iota({4, 3, 2});
  HostArray rows = cut(whole, {{1, 0, 0}, {2, 3, 2}});
  EXPECT_EQ(rows.data(), whole.data() + 6 * 4);
  EXPECT_THAT(rows.sizes(), ElementsAre(2, 3, 2));
  HostArray inner = cut(whole, {{2, 1, 0}, {1, 1, 2}});
  EXPECT_EQ(inner.data(), whole.data() + 14 * 4);
  HostArray columns = cut(whole, {{0, 1, 0}, {4, 1, 2}});
  EXPECT_THAT(columns.view<int32_t>(), ElementsAre(2, 3, 8, 9, 14, 15, 20, 21));
  HostArray last = cut(whole, {{1, 0, 1}, {2, 3, 1}});
  EXPECT_THAT(last.view<int32_t>(), ElementsAre(7, 9, 11, 13, 15, 17));
}

TEST(Cut, ScalarsAndEmptyArraysAreTheirOnlySlice) {
  EXPECT_THAT(cut(iota({}), {{}, {}}).view<int32_t>(), ElementsAre(0));
  EXPECT_THAT(cut(iota({0, 4}), {{0, 0}, {0, 4}}).sizes(), ElementsAre(0, 4));
}

TEST(Paste, PutsEverySliceBackInItsPlace) {
  HostArray whole = iota({4, 6});
  HostArray joined = HostArray::allocate(DType::kS32, {4, 6});
  for (int64_t row : {0, 2}) {
    for (int64_t column : {0, 2, 4}) {
      ArraySlice slice{{row, column}, {2, 2}};
      paste(joined, slice, cut(whole, slice));
    }
  }
  EXPECT_THAT(joined.view<int32_t>(), testing::ElementsAreArray(whole.view<int32_t>()));
}

// Every element of the slice that lies in the range, with its place in the slice, and no other.
TEST(Runs, CanBeAskedForAPartOfTheWhole) {
  const std::vector<int64_t> whole = {3, 4, 5, 2};
  const int64_t elements = 3 * 4 * 5 * 2;
  const HostArray all = iota(whole);
  for (const ArraySlice& slice :
       {ArraySlice{{1, 0, 2, 0}, {2, 4, 2, 2}}, ArraySlice{{0, 1, 0, 1}, {3, 2, 5, 1}}, ArraySlice{{0, 0, 0, 0}, whole},
        ArraySlice{{2, 3, 4, 1}, {1, 1, 1, 1}}, ArraySlice{{1, 1, 0, 0}, {1, 0, 5, 2}}}) {
    const HostArray part = cut(all, slice);
    const SliceRuns runs(whole, slice);
    for (int64_t begin = 0; begin < elements; begin += 7) {
      for (int64_t end = begin; end <= elements; end += 3) {
        std::vector<int32_t> expected, seen;
        for (int32_t x : part.view<int32_t>()) {
          if (x >= begin && x < end) expected.push_back(x);
        }
        for_each_run(runs, begin, end, [&](int64_t from, int64_t to, int64_t count) {
          for (int64_t i = 0; i < count; ++i) {
            EXPECT_EQ(part.view<int32_t>()[static_cast<size_t>(to + i)], from + i);
            seen.push_back(static_cast<int32_t>(from + i));
          }
        });
        EXPECT_EQ(seen, expected) << begin << " " << end;
      }
    }
  }
}

}  // namespace
}  // namespace fathom
