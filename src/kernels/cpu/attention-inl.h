// What the forward and the backward pass of attention share. Included once per instruction set.
//
// Queries lie in panels of kNr, one in each lane of two vectors: the scores of a panel are [keys, kNr], so that maxima
// and sums over keys need no sums across lanes, and the scores are the `b` of the products that follow as they lie.
#if defined(FATHOM_KERNELS_CPU_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FATHOM_KERNELS_CPU_ATTENTION_INL_H_
#undef FATHOM_KERNELS_CPU_ATTENTION_INL_H_
#else
#define FATHOM_KERNELS_CPU_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "kernels/abi.h"
#include "kernels/attention.h"
#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/micro-inl.h"
#include "kernels/cpu/pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

constexpr float kMasked = static_cast<float>(abi::kMasked);

inline int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// One array as one head sees it: token i at `row` * i elements.
struct HeadRows {
  DType dtype = DType::kF32;
  const void* data = nullptr;
  int64_t row = 0;

  HeadRows from(int64_t token, int64_t column = 0) const {
    int64_t bytes = (token * row + column) * (dtype == DType::kF32 ? 4 : 2);
    return {dtype, static_cast<const char*>(data) + bytes, row};
  }
};

inline HeadRows head_rows(DType dtype, const void* data, const AttentionShape& n, int64_t batch, int64_t head,
                          int64_t width) {
  return HeadRows{dtype, data, n.h * width}.from(batch * n.s, head * width);
}

// The smallest and largest segment of some tokens.
struct Segments {
  int32_t low, high;
  bool meet(const Segments& o) const { return low <= o.high && o.low <= high; }
  // Whether every token of both is of the same segment.
  bool same(const Segments& o) const { return low == high && o.low == o.high && low == o.low; }
};

inline Segments segments_of(const int32_t* ids, int64_t count) {
  auto [low, high] = std::minmax_element(ids, ids + count);
  return {*low, *high};
}

// Which queries of a panel (index `first` + lane) see a key.
struct PanelMask {
  using IntTag = hn::RebindToSigned<Tag>;
  const int32_t* segments;  // [kNr]
  int64_t first;

  HWY_ATTR HWY_INLINE hn::Mask<Tag> sees(int64_t half, int64_t key, int32_t segment) const {
    const IntTag di;
    const auto next = hn::Iota(di, static_cast<int32_t>(first + half * kLanes + 1));
    const auto causal = hn::Lt(hn::Set(di, static_cast<int32_t>(key)), next);
    const auto same = hn::Eq(hn::LoadU(di, segments + half * kLanes), hn::Set(di, segment));
    return hn::RebindMask(Tag(), hn::And(causal, same));
  }
};

// to[i, :] = rows of x as float32, `to_row` apart.
HWY_ATTR inline void load_rows(const HeadRows& x, int64_t rows, int64_t columns, float* to, int64_t to_row) {
  const Tag d;
  for (int64_t i = 0; i < rows; ++i, to += to_row) {
    if (x.dtype == DType::kF32) {
      std::memcpy(to, static_cast<const float*>(x.data) + i * x.row, static_cast<size_t>(columns) * sizeof(float));
      continue;
    }
    const uint16_t* from = static_cast<const uint16_t*>(x.data) + i * x.row;
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) hn::StoreU(widen(from + c), d, to + c);
    for (; c < columns; ++c) to[c] = element(from[c]);
  }
}

// Rows of x in strips of `width`, each transposed: to[strip][column][row in strip]; zeros beyond the last row. `spare`
// has room for one strip.
HWY_ATTR inline void load_strips(const HeadRows& x, int64_t rows, int64_t columns, int64_t width, float* to,
                                 float* spare) {
  for (int64_t i = 0; i < rows; i += width, to += columns * width) {
    int64_t count = std::min(width, rows - i);
    if (count < width) std::fill(to, to + columns * width, 0.0f);
    HeadRows part = x.from(i);
    if (x.dtype == DType::kF32) {
      transpose(static_cast<const float*>(part.data), x.row, count, columns, to, width);
    } else {
      load_rows(part, count, columns, spare, columns);
      transpose(spare, columns, count, columns, to, width);
    }
  }
}

inline void store_rows(const float* from, int64_t from_row, int64_t rows, int64_t columns, const HeadRows& to) {
  for (int64_t i = 0; i < rows; ++i, from += from_row) {
    void* row = const_cast<void*>(to.from(i).data);
    if (to.dtype == DType::kF32) {
      std::memcpy(row, from, static_cast<size_t>(columns) * sizeof(float));
    } else {
      for (int64_t c = 0; c < columns; ++c) set_element(static_cast<uint16_t*>(row)[c], from[c]);
    }
  }
}

// The rows of a panel [columns, kNr], as many as there are queries; `spare` has room for a panel.
HWY_ATTR inline void store_panel(const float* panel, int64_t rows, int64_t columns, const HeadRows& to, float* spare) {
  if (to.dtype == DType::kF32) {
    float* data = const_cast<float*>(static_cast<const float*>(to.data));
    return transpose(panel, kNr, columns, rows, data, to.row);
  }
  transpose(panel, kNr, columns, rows, spare, columns);
  store_rows(spare, columns, rows, columns, to);
}

// scores [keys rounded up to kMr, kNr] of the first `keys` keys: strips [width, kMr] against a panel [width, kNr].
HWY_ATTR inline void panel_scores(const float* strips, const float* panel, int64_t keys, int64_t width, float* scores) {
  for (int64_t t = 0; t < keys; t += kMr) {
    micro<kMr, 1>(
        {.depth = width, .a = strips + t * width, .a_step = kMr, .b = panel, .c = scores + t * kNr, .c_row = kNr});
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
