// Copies of matrix parts in the order in which a micro-kernel reads them. Included once per instruction set.
#if defined(FATHOM_KERNELS_CPU_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FATHOM_KERNELS_CPU_PACK_INL_H_
#undef FATHOM_KERNELS_CPU_PACK_INL_H_
#else
#define FATHOM_KERNELS_CPU_PACK_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/micro-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
// kN numbers: groups of four, each from a row `step` further on.
template <int64_t kN, typename T>
HWY_ATTR HWY_INLINE hn::Vec<hn::FixedTag<float, kN>> load_groups(const T* from, int64_t step) {
  const hn::FixedTag<float, kN> d;
  if constexpr (kN == 4) {
    return load_float(d, from);
  } else {
    return hn::Combine(d, load_groups<kN / 2>(from + kN / 8 * step, step), load_groups<kN / 2>(from, step));
  }
}

// kN rows become columns: squares of four, each block of a vector with four rows of its own.
template <int64_t kN, typename T>
HWY_ATTR HWY_INLINE void transpose_rows(const T* HWY_RESTRICT from, int64_t from_row, int64_t columns,
                                        float* HWY_RESTRICT to, int64_t to_row) {
  const hn::FixedTag<float, kN> d;
  const hn::RepartitionToWide<decltype(d)> pairs;
  int64_t j = 0;
  for (; j + 4 <= columns; j += 4, from += 4, to += 4 * to_row) {
    const auto r0 = load_groups<kN>(from, 4 * from_row);
    const auto r1 = load_groups<kN>(from + from_row, 4 * from_row);
    const auto r2 = load_groups<kN>(from + 2 * from_row, 4 * from_row);
    const auto r3 = load_groups<kN>(from + 3 * from_row, 4 * from_row);
    const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
    const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
    const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
    const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, to);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, to + to_row);
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, to + 2 * to_row);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, to + 3 * to_row);
  }
  for (; j < columns; ++j, ++from, to += to_row) {
    for (int64_t r = 0; r < kN; ++r) to[r] = element(from[r * from_row]);
  }
}
#endif

// to[j * to_row + i] = from[i * from_row + j]
template <typename T>
HWY_ATTR inline void transpose(const T* HWY_RESTRICT from, int64_t from_row, int64_t rows, int64_t columns,
                               float* HWY_RESTRICT to, int64_t to_row) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; i + kLanes <= rows; i += kLanes)
    transpose_rows<kLanes>(from + i * from_row, from_row, columns, to + i, to_row);
  for (; i + 4 <= rows; i += 4) transpose_rows<4>(from + i * from_row, from_row, columns, to + i, to_row);
#endif
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * to_row + i] = element(from[i * from_row + j]);
  }
}

// Rows of kWidth numbers, `from_row` apart, one behind the other.
template <int64_t kWidth, typename T>
HWY_ATTR HWY_INLINE void copy_rows(const T* HWY_RESTRICT from, int64_t from_row, int64_t rows, float* HWY_RESTRICT to) {
  if constexpr (kWidth < kLanes && 2 * kWidth > kLanes && std::is_same_v<T, float>) {
    // A vector a row; what it writes beyond its row the next one overwrites.
    const Tag d;
    const auto mask = hn::FirstN(d, static_cast<size_t>(kWidth));
    for (int64_t i = 0; i < rows; ++i, from += from_row, to += kWidth) {
      const Vec x = hn::MaskedLoad(mask, d, from);
      if (i + 1 < rows) {
        hn::StoreU(x, d, to);
      } else {
        hn::BlendedStore(x, mask, d, to);
      }
    }
    return;
  }
  constexpr int64_t kChunk = kWidth % kLanes == 0 ? kLanes : kWidth % 4 == 0 ? 4 : 2;
  const hn::CappedTag<float, kChunk> d;
  for (int64_t i = 0; i < rows; ++i, from += from_row, to += kWidth) {
#pragma GCC unroll 4
    for (int64_t j = 0; j < kWidth; j += kChunk) hn::StoreU(load_float(d, from + j), d, to + j);
  }
}

// A part of one panel: `rows` rows of `columns` <= kWidth numbers, filled with zeros; element (i, j) of the source is
// from[i * row + j * column].
template <int64_t kWidth, typename T>
HWY_ATTR void pack_panel(const T* from, int64_t row, int64_t column, int64_t rows, int64_t columns, float* to) {
  if (column == 1 && columns == kWidth) return copy_rows<kWidth>(from, row, rows, to);
  if (row == 1) {
    transpose(from, column, columns, rows, to, kWidth);
  } else {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) to[i * kWidth + j] = element(from[i * row + j * column]);
    }
  }
  if (columns < kWidth) {
    for (int64_t i = 0; i < rows; ++i) std::fill(to + i * kWidth + columns, to + (i + 1) * kWidth, 0.0f);
  }
}

// The [rows, columns] part of `from` that starts at (i0, j0), as panels of kWidth columns, the last filled with zeros:
// to[panel][row][column in panel].
template <int64_t kWidth>
HWY_ATTR void pack(const Strided& from, int64_t i0, int64_t rows, int64_t j0, int64_t columns, float* to) {
  auto all = [&](const auto* data) HWY_ATTR {
    for (int64_t j = 0; j < columns; j += kWidth) {
      pack_panel<kWidth>(data + i0 * from.row + (j0 + j) * from.column, from.row, from.column, rows,
                         std::min(kWidth, columns - j), to + j * rows);
    }
  };
  if (from.dtype == DType::kF32) {
    all(static_cast<const float*>(from.data));
  } else {
    all(static_cast<const uint16_t*>(from.data));
  }
}

// Whether the bfloat16 numbers of rows 2k and 2k + 1 stand side by side, so that each pair can be read as one float.
// The matrix has `rows` rows.
inline bool pairs_in_place(const Strided& x, int64_t rows) {
  return x.row == 1 && x.column % 2 == 0 && rows % 2 == 0 && reinterpret_cast<uintptr_t>(x.data) % 4 == 0;
}

// The same matrix with each pair of rows as one row of floats.
inline Strided as_pairs(const Strided& x) { return {x.data, DType::kF32, 1, x.column / 2}; }

// One panel of pairs: to[p * kWidth + j] holds the numbers (2p, j) and (2p + 1, j), zero beyond `rows` and `columns`.
template <int64_t kWidth>
HWY_ATTR void pack_pair_panel(const uint16_t* from, int64_t row, int64_t column, int64_t rows, int64_t columns,
                              float* to) {
  const hn::CappedTag<uint32_t, kWidth % kLanes == 0 ? kLanes : 4> d;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < rows; i += 2, from += 2 * row, to += kWidth) {
    auto* out = reinterpret_cast<uint32_t*>(to);
    const bool second = i + 1 < rows;
    int64_t j = 0;
    if (column == 1 && second) {
      for (; j + step <= columns; j += step) {
        const auto low = hn::PromoteTo(d, hn::LoadU(d16, from + j));
        const auto high = hn::PromoteTo(d, hn::LoadU(d16, from + row + j));
        hn::StoreU(hn::Or(low, hn::ShiftLeft<16>(high)), d, out + j);
      }
    }
    for (; j < columns; ++j) {
      const uint32_t high = second ? from[row + j * column] : 0;
      out[j] = from[j * column] | high << 16;
    }
    for (; j < kWidth; ++j) out[j] = 0;
  }
}

// `pack` of bfloat16 numbers as pairs; i0 is even, `rows` counts numbers.
template <int64_t kWidth>
HWY_ATTR void pack_pairs(const Strided& from, int64_t i0, int64_t rows, int64_t j0, int64_t columns, float* to) {
  const auto* data = static_cast<const uint16_t*>(from.data);
  const int64_t pairs = (rows + 1) / 2;
  for (int64_t j = 0; j < columns; j += kWidth) {
    pack_pair_panel<kWidth>(data + i0 * from.row + (j0 + j) * from.column, from.row, from.column, rows,
                            std::min(kWidth, columns - j), to + j * pairs);
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
