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

#include <hwy/cache_control.h>

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/selected_pairs.h"
#include "kernels/selected_attention.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Vectors of a row in one stripe.
constexpr int64_t kWide = 8;
constexpr int64_t kStripe = kWide * kLanes;
// Rows of a block: its stripe takes 32 KiB.
constexpr int64_t kBlock = std::min<int64_t>(192, 8192 / kStripe);
// Places of a row's list come in groups; the last group is filled up.
constexpr int64_t kGroup = 4;
constexpr int64_t kMaxPlaces = kBlock * ((kBlock + kGroup - 1) / kGroup) * kGroup;
static_assert(kMaxPlaces < 65536);

// Rows that are asked for before they are copied.
constexpr int64_t kRowsAhead = 4;

// The rows of one array of a block, [stripe][kBlock + 1][kStripe]. Zeros fill the last stripe; the last row of each
// stripe is zeros too, and stands for the key of a place that is filled up.
struct Striped {
  int64_t width = 0;
  float* data = nullptr;

  static constexpr int64_t kStride = (kBlock + 1) * kStripe;
  static_assert(kStride <= 65536);
  static int64_t stripes(int64_t width) { return (width + kStripe - 1) / kStripe; }
  static int64_t size(int64_t width) { return stripes(width) * kStride; }
  // Of another block of the same array, where blocks lie one after another.
  Striped block(int64_t index) const { return {width, data + index * size(width)}; }
};

HWY_ATTR inline void clear(const Striped& x, int64_t blocks = 1) {
  std::fill(x.data, x.data + blocks * Striped::size(x.width), 0.0f);
}

template <typename T>
HWY_ATTR void load_stripes(const T* from, int64_t from_row, int64_t rows, const Striped& to) {
  const Tag d;
  // A row at a time: rows lie a page or more apart.
  for (int64_t r = 0; r < rows; ++r, from += from_row) {
    float* at = to.data + r * kStripe;
    for (int64_t ahead = 0; ahead < to.width; ahead += 64 / static_cast<int64_t>(sizeof(T))) {
      hwy::Prefetch(from + kRowsAhead * from_row + ahead);
    }
    for (int64_t c = 0; c < to.width; c += kStripe, at += Striped::kStride) {
      int64_t i = 0;
      const int64_t columns = std::min(kStripe, to.width - c);
      for (; i + kLanes <= columns; i += kLanes) hn::Store(widen(from + c + i), d, at + i);
      for (; i < columns; ++i) at[i] = element(from[c + i]);
      for (; i < kStripe; ++i) at[i] = 0;
    }
  }
}

HWY_ATTR inline void load_striped(const HeadRows& from, int64_t rows, const Striped& to) {
  if (from.dtype == DType::kF32) {
    load_stripes(static_cast<const float*>(from.data), from.row, rows, to);
  } else {
    load_stripes(static_cast<const uint16_t*>(from.data), from.row, rows, to);
  }
  for (int64_t at = 0; at < Striped::size(to.width); at += Striped::kStride) {
    std::fill(to.data + at + rows * kStripe, to.data + at + Striped::kStride, 0.0f);
  }
}

inline void store_striped(const Striped& from, int64_t rows, const HeadRows& to) {
  for (int64_t c = 0, at = 0; c < from.width; c += kStripe, at += Striped::kStride) {
    store_rows(from.data + at, kStripe, rows, std::min(kStripe, from.width - c), to.from(0, c));
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
  for (const PairRow& row : pairs.rows) {
    const float* from = rows + row.index * kStripe;
    Vec x[kVectors];
#pragma GCC unroll 8
    for (int64_t v = 0; v < kVectors; ++v) x[v] = hn::Load(d, from + v * kLanes);
    const uint16_t* column = pairs.column + row.first;
    float* to = sums + row.first;
    for (int64_t i = 0; i < row.count; i += kGroup, column += kGroup, to += kGroup) {
      const float* y[kGroup] = {columns + column[0], columns + column[1], columns + column[2], columns + column[3]};
      Vec sum[kGroup];
#pragma GCC unroll 4
      for (int64_t c = 0; c < kGroup; ++c) sum[c] = hn::Mul(x[0], hn::Load(d, y[c]));
#pragma GCC unroll 8
      for (int64_t v = 1; v < kVectors; ++v) {
#pragma GCC unroll 4
        for (int64_t c = 0; c < kGroup; ++c) sum[c] = hn::MulAdd(x[v], hn::Load(d, y[c] + v * kLanes), sum[c]);
      }
      add_sums(sum[0], sum[1], sum[2], sum[3], to);
    }
  }
}

// row += factor[place] * column of each pair, in one stripe.
template <int64_t kVectors>
HWY_ATTR void add_stripe_rows(const Pairs& pairs, const float* factors, const float* columns, float* rows) {
  const Tag d;
  for (const PairRow& row : pairs.rows) {
    float* to = rows + row.index * kStripe;
    Vec sum[kVectors];
#pragma GCC unroll 8
    for (int64_t v = 0; v < kVectors; ++v) sum[v] = hn::Load(d, to + v * kLanes);
    const uint16_t* column = pairs.column + row.first;
    const float* factor = factors + row.first;
    for (int64_t i = 0; i < row.count; i += kGroup, column += kGroup, factor += kGroup) {
#pragma GCC unroll 4
      for (int64_t c = 0; c < kGroup; ++c) {
        const Vec f = hn::Set(d, factor[c]);
        const float* y = columns + column[c];
#pragma GCC unroll 8
        for (int64_t v = 0; v < kVectors; ++v) sum[v] = hn::MulAdd(f, hn::Load(d, y + v * kLanes), sum[v]);
      }
    }
#pragma GCC unroll 8
    for (int64_t v = 0; v < kVectors; ++v) hn::Store(sum[v], d, to + v * kLanes);
  }
}

template <int64_t kVectors, typename F>
HWY_ATTR void last_stripe(int64_t vectors, int64_t at, const F& f) {
  if constexpr (kVectors > 0) {
    if (vectors == kVectors) return f(std::integral_constant<int64_t, kVectors>(), at);
    last_stripe<kVectors - 1>(vectors, at, f);
  }
}

// Calls f(std::integral_constant<vectors in use>, offset) for each stripe of this width.
template <typename F>
HWY_ATTR void for_each_stripe(int64_t width, const F& f) {
  int64_t at = 0;
  for (; width >= kStripe; width -= kStripe, at += Striped::kStride) f(std::integral_constant<int64_t, kWide>(), at);
  last_stripe<kWide - 1>((width + kLanes - 1) / kLanes, at, f);
}

// sums[place] = row . column of each pair.
HWY_ATTR inline void pair_dots(const Pairs& pairs, const Striped& rows, const Striped& columns, float* sums) {
  std::fill(sums, sums + pairs.places, 0.0f);
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
