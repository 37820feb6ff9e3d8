// Products over chosen pairs of rows, a block of queries against a block of keys at a time. Included once per
// instruction set.
//
// A row that is used once for every time that it is read comes at the rate of the cache it lies in, and only the first
// level keeps up with the multipliers. So columns are cut into stripes: a block's stripe stays in the first-level cache
// while the other block's rows pass by, each with a few vectors in registers.
#if defined(FATHOM_KERNELS_CPU_SELECTED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FATHOM_KERNELS_CPU_SELECTED_INL_H_
#undef FATHOM_KERNELS_CPU_SELECTED_INL_H_
#else
#define FATHOM_KERNELS_CPU_SELECTED_INL_H_
#endif

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/scratch.h"
#include "kernels/selected_attention.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Vectors of a row in one stripe.
constexpr int64_t kWide = 4;
constexpr int64_t kStripe = kWide * kLanes;
// Rows of a block: its stripe takes 24 KiB.
constexpr int64_t kBlock = std::min<int64_t>(192, 6144 / kStripe);
// Places of a row's list come in groups; the last group is filled up.
constexpr int64_t kGroup = 4;
constexpr int64_t kMaxGroups = kBlock * ((kBlock + kGroup - 1) / kGroup);

// The rows of one array of a block, [stripe][kBlock + 1][kStripe]. Zeros fill the last stripe; the last row of each
// stripe is zeros too, and stands for the key of a place that is filled up.
struct Striped {
  int64_t width = 0;
  float* data = nullptr;

  static constexpr int64_t kStride = (kBlock + 1) * kStripe;
  static int64_t stripes(int64_t width) { return (width + kStripe - 1) / kStripe; }
  static int64_t size(int64_t width) { return stripes(width) * kStride; }
  // Of another block of the same array, where blocks lie one after another.
  Striped block(int64_t index) const { return {width, data + index * size(width)}; }
};

HWY_ATTR inline void clear(const Striped& x, int64_t blocks = 1) {
  std::fill(x.data, x.data + blocks * Striped::size(x.width), 0.0f);
}

HWY_ATTR inline void load_striped(const HeadRows& from, int64_t rows, const Striped& to) {
  const bool whole = to.width % kStripe == 0;
  for (int64_t c = 0, at = 0; c < to.width; c += kStripe, at += Striped::kStride) {
    float* stripe = to.data + at;
    std::fill(stripe + (whole ? rows * kStripe : 0), stripe + Striped::kStride, 0.0f);
    load_rows(from.from(0, c), rows, std::min(kStripe, to.width - c), stripe, kStripe);
  }
}

inline void store_striped(const Striped& from, int64_t rows, const HeadRows& to) {
  for (int64_t c = 0, at = 0; c < from.width; c += kStripe, at += Striped::kStride) {
    store_rows(from.data + at, kStripe, rows, std::min(kStripe, from.width - c), to.from(0, c));
  }
}

// The pairs of two blocks, row by row: of each row its columns in groups. Rows and columns are places in a stripe.
struct Pairs {
  struct Row {
    int32_t index = 0, first = 0, count = 0;  // which row, the first of its places, how many of them are pairs
  };
  int64_t groups = 0;
  std::vector<Row> rows;         // those with pairs
  std::vector<uint16_t> row;     // [groups]
  std::vector<uint16_t> column;  // [groups, kGroup]
  static_assert(Striped::kStride <= 65536);

  void clear() {
    groups = 0;
    rows.clear();
    row.resize(static_cast<size_t>(kMaxGroups));
    column.resize(static_cast<size_t>(kMaxGroups * kGroup));
  }
  int64_t places() const { return groups * kGroup; }
  // The next row's pairs are the `count` columns that stand from place `places()` on.
  void end_row(int64_t index, int64_t count) {
    if (count == 0) return;
    const int64_t first = places();
    rows.push_back({static_cast<int32_t>(index), static_cast<int32_t>(first), static_cast<int32_t>(count)});
    while (count % kGroup != 0) column[static_cast<size_t>(first + count++)] = static_cast<uint16_t>(kBlock * kStripe);
    for (int64_t g = 0; g < count / kGroup; ++g)
      row[static_cast<size_t>(groups++)] = static_cast<uint16_t>(index * kStripe);
  }
};

// The pairs of some queries, whose lists are [n] each, with the keys [first, first + count). Each query's cursor stands
// at its first key from there on, and moves behind its last.
inline void find_pairs(const int32_t* lists, int64_t n, int64_t queries, int64_t first, int64_t count, int32_t* cursors,
                       Pairs& pairs) {
  pairs.clear();
  const auto low = static_cast<int32_t>(first), high = static_cast<int32_t>(first + count);
  for (int64_t i = 0; i < queries; ++i) {
    const int32_t* list = lists + i * n;
    int32_t at = cursors[i];
    while (at < n && list[at] < low && list[at] >= 0) ++at;
    uint16_t* to = pairs.column.data() + pairs.places();
    const int32_t begin = at;
    for (; at < n && list[at] < high && list[at] >= 0; ++at) *to++ = static_cast<uint16_t>((list[at] - low) * kStripe);
    cursors[i] = at;
    pairs.end_row(i, at - begin);
  }
}

// The same pairs column by column. from[place] is the place of the pair in `pairs`; a place that is filled up has
// kNoPlace.
constexpr int64_t kNoPlace = kMaxGroups * kGroup;
static_assert(kNoPlace < 65536);

inline void transpose_pairs(const Pairs& pairs, Pairs& to, std::vector<uint16_t>& from) {
  to.clear();
  from.resize(static_cast<size_t>(kNoPlace));
  std::array<int32_t, kBlock> counts{}, next{};
  for (const Pairs::Row& r : pairs.rows) {
    for (int32_t i = 0; i < r.count; ++i) ++counts[pairs.column[static_cast<size_t>(r.first + i)] / kStripe];
  }
  int64_t place = 0;
  for (size_t c = 0; c < counts.size(); ++c) {
    next[c] = static_cast<int32_t>(place);
    place += round_up(counts[c], kGroup);
  }
  for (const Pairs::Row& r : pairs.rows) {
    for (int32_t i = 0; i < r.count; ++i) {
      const auto at = static_cast<size_t>(next[pairs.column[static_cast<size_t>(r.first + i)] / kStripe]++);
      to.column[at] = static_cast<uint16_t>(r.index * kStripe);
      from[at] = static_cast<uint16_t>(r.first + i);
    }
  }
  for (size_t c = 0; c < counts.size(); ++c) {
    const int64_t first = to.places();
    to.end_row(static_cast<int64_t>(c), counts[c]);
    for (int64_t i = first + counts[c]; i < to.places(); ++i)
      from[static_cast<size_t>(i)] = static_cast<uint16_t>(kNoPlace);
  }
}

#if HWY_TARGET != HWY_SCALAR
// The sum of a vector's blocks of four.
template <typename D>
HWY_ATTR HWY_INLINE hn::Vec<hn::FixedTag<float, 4>> sum_of_blocks(D d, hn::Vec<D> x) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return x;
  } else {
    const hn::Half<D> half;
    return sum_of_blocks(half, hn::Add(hn::LowerHalf(half, x), hn::UpperHalf(half, x)));
  }
}
#endif

// to[i] += sum of x_i over lanes.
HWY_ATTR HWY_INLINE void add_sums(Vec x0, Vec x1, Vec x2, Vec x3, float* to) {
#if HWY_TARGET == HWY_SCALAR
  to[0] += hn::GetLane(x0);
  to[1] += hn::GetLane(x1);
  to[2] += hn::GetLane(x2);
  to[3] += hn::GetLane(x3);
#else
  const Tag d;
  const hn::RepartitionToWide<Tag> wide;
  const Vec x01 = hn::Add(hn::InterleaveLower(d, x0, x1), hn::InterleaveUpper(d, x0, x1));
  const Vec x23 = hn::Add(hn::InterleaveLower(d, x2, x3), hn::InterleaveUpper(d, x2, x3));
  const auto low = hn::BitCast(wide, x01), high = hn::BitCast(wide, x23);
  const Vec sums = hn::Add(hn::BitCast(d, hn::InterleaveLower(wide, low, high)),
                           hn::BitCast(d, hn::InterleaveUpper(wide, low, high)));
  const hn::FixedTag<float, 4> d4;
  hn::StoreU(hn::Add(hn::LoadU(d4, to), sum_of_blocks(d, sums)), d4, to);
#endif
}

// sums[place] += row . column of each pair, in one stripe of which kVectors are in use.
template <int64_t kVectors>
HWY_ATTR void add_stripe_dots(const Pairs& pairs, const float* rows, const float* columns, float* sums) {
  const Tag d;
  const uint16_t* HWY_RESTRICT row = pairs.row.data();
  const uint16_t* HWY_RESTRICT column = pairs.column.data();
  for (int64_t g = 0; g < pairs.groups; ++g, column += kGroup, sums += kGroup) {
    const float* x = rows + row[g];
    const float* y[kGroup] = {columns + column[0], columns + column[1], columns + column[2], columns + column[3]};
    Vec sum[kGroup];
    const Vec x0 = hn::Load(d, x);
#pragma GCC unroll 4
    for (int64_t i = 0; i < kGroup; ++i) sum[i] = hn::Mul(x0, hn::Load(d, y[i]));
#pragma GCC unroll 4
    for (int64_t v = 1; v < kVectors; ++v) {
      const Vec xv = hn::Load(d, x + v * kLanes);
#pragma GCC unroll 4
      for (int64_t i = 0; i < kGroup; ++i) sum[i] = hn::MulAdd(xv, hn::Load(d, y[i] + v * kLanes), sum[i]);
    }
    add_sums(sum[0], sum[1], sum[2], sum[3], sums);
  }
}

// row += factor[place] * column of each pair, in one stripe.
template <int64_t kVectors>
HWY_ATTR void add_stripe_rows(const Pairs& pairs, const float* factors, const float* columns, float* rows) {
  const Tag d;
  const uint16_t* HWY_RESTRICT row = pairs.row.data();
  const uint16_t* HWY_RESTRICT column = pairs.column.data();
  for (int64_t g = 0; g < pairs.groups; ++g, column += kGroup, factors += kGroup) {
    float* x = rows + row[g];
    Vec sum[kVectors];
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v) sum[v] = hn::Load(d, x + v * kLanes);
#pragma GCC unroll 4
    for (int64_t i = 0; i < kGroup; ++i) {
      const Vec factor = hn::Set(d, factors[i]);
      const float* y = columns + column[i];
#pragma GCC unroll 4
      for (int64_t v = 0; v < kVectors; ++v) sum[v] = hn::MulAdd(factor, hn::Load(d, y + v * kLanes), sum[v]);
    }
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v) hn::Store(sum[v], d, x + v * kLanes);
  }
}

// Calls f(std::integral_constant<vectors in use>, offset) for each stripe of this width.
template <typename F>
HWY_ATTR void for_each_stripe(int64_t width, const F& f) {
  int64_t at = 0;
  for (; width >= kStripe; width -= kStripe, at += Striped::kStride) f(std::integral_constant<int64_t, kWide>(), at);
  switch ((width + kLanes - 1) / kLanes) {
    case 4:
      return f(std::integral_constant<int64_t, 4>(), at);
    case 3:
      return f(std::integral_constant<int64_t, 3>(), at);
    case 2:
      return f(std::integral_constant<int64_t, 2>(), at);
    case 1:
      return f(std::integral_constant<int64_t, 1>(), at);
    default:
      return;
  }
}

// sums[place] = row . column of each pair.
HWY_ATTR inline void pair_dots(const Pairs& pairs, const Striped& rows, const Striped& columns, float* sums) {
  std::fill(sums, sums + pairs.places(), 0.0f);
  for_each_stripe(rows.width, [&](auto vectors, int64_t at) HWY_ATTR {
    add_stripe_dots<vectors.value>(pairs, rows.data + at, columns.data + at, sums);
  });
}

// rows += the sum of factor[place] * column over each row's pairs.
HWY_ATTR inline void add_pair_rows(const Pairs& pairs, const float* factors, const Striped& columns,
                                   const Striped& rows) {
  for_each_stripe(rows.width, [&](auto vectors, int64_t at) HWY_ATTR {
    add_stripe_rows<vectors.value>(pairs, factors, columns.data + at, rows.data + at);
  });
}

// The first `count` lanes, none below 0.
HWY_ATTR HWY_INLINE hn::Mask<Tag> first_lanes(int64_t count) {
  return hn::FirstN(Tag(), static_cast<size_t>(std::clamp<int64_t>(count, 0, kLanes)));
}

// One head (of b * h) of an array [b, tokens, h, width].
inline HeadRows selected_rows(DType dtype, const void* data, const SelectedShape& n, int64_t tokens, int64_t head,
                              int64_t width) {
  return HeadRows{dtype, data, n.h * width}.from(head / n.h * tokens, head % n.h * width);
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
