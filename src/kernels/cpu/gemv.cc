// Few rows times matrices that are read once, at the speed of memory, from where they lie: nothing is packed.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemv.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <hwy/cache_control.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/scratch.h"
#include "kernels/gemv.h"

#ifndef FATHOM_KERNELS_CPU_GEMV_PIECE
#define FATHOM_KERNELS_CPU_GEMV_PIECE
namespace fathom::cpu {

// The rows of one matrix (in sorted order) against some of its rows, or of its columns where it is transposed.
struct GemvPiece {
  int64_t matrix = 0, row = 0, rows = 0, begin = 0, end = 0;
};

// The rows of x as float32, sorted by matrix: [rows, stride], zeros up to the stride.
struct GemvRows {
  float* x = nullptr;
  int64_t stride = 0;
  std::vector<int64_t> order;  // which row of the call stands where
};

}  // namespace fathom::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// Each kind of weights gives kNr of them as two vectors of floats, in an order of its own: with kInterleaved those of
// even and those of odd places.
struct Float32Weights {
  using T = float;
  static constexpr bool kInterleaved = false, kScaled = false;
  HWY_ATTR HWY_INLINE static void load(const T* w, Vec& a, Vec& b) {
    a = hn::LoadU(Tag(), w);
    b = hn::LoadU(Tag(), w + kLanes);
  }
};

struct RoundedWeights : Float32Weights {
  HWY_ATTR HWY_INLINE static void load(const T* w, Vec& a, Vec& b) {
    Float32Weights::load(w, a, b);
    a = round_to<uint16_t>(a);
    b = round_to<uint16_t>(b);
  }
};

struct BFloat16Weights {
  using T = uint16_t;
  static constexpr bool kInterleaved = true, kScaled = false;
  HWY_ATTR HWY_INLINE static void load(const T* w, Vec& a, Vec& b) {
#if HWY_TARGET == HWY_SCALAR
    a = widen(w);
    b = widen(w + 1);
#else
    const hn::RepartitionToNarrow<hn::RebindToUnsigned<Tag> > d16;
    const hn::RebindToUnsigned<Tag> d32;
    const auto pairs = hn::BitCast(d32, hn::LoadU(d16, w));
    a = hn::BitCast(Tag(), hn::ShiftLeft<16>(pairs));
    b = hn::BitCast(Tag(), hn::And(pairs, hn::Set(d32, 0xFFFF0000u)));
#endif
  }
};

struct Int8Weights {
  using T = int8_t;
  static constexpr bool kInterleaved = false, kScaled = true;
  HWY_ATTR HWY_INLINE static void load(const T* w, Vec& a, Vec& b) {
    const hn::RebindToSigned<Tag> d32;
    const hn::Rebind<int8_t, Tag> d8;
    a = hn::ConvertTo(Tag(), hn::PromoteTo(d32, hn::LoadU(d8, w)));
    b = hn::ConvertTo(Tag(), hn::PromoteTo(d32, hn::LoadU(d8, w + kLanes)));
  }
};

// Rows of a matrix that are gone through together, and rows of x beside them: their sums stay in registers.
constexpr int64_t kMatrixRows = 4;
constexpr int64_t kMaxRows = kMr > 6 ? 2 : 1;

// sums[r][i] += the product of kNr weights of row r (at w[r]) with those of row i of x.
template <typename W, int64_t R, int64_t X>
HWY_ATTR HWY_INLINE void add_block(const typename W::T* const (&w)[R], int64_t at, const float* x, int64_t stride,
                                   Vec (&sums)[R][X]) {
  const Tag d;
#pragma GCC unroll 4
  for (int64_t r = 0; r < R; ++r) {
    Vec a, b;
    W::load(w[r] + at, a, b);
#pragma GCC unroll 2
    for (int64_t i = 0; i < X; ++i) {
      const float* row = x + i * stride + at;
      sums[r][i] = hn::MulAdd(a, hn::Load(d, row), sums[r][i]);
      sums[r][i] = hn::MulAdd(b, hn::Load(d, row + kLanes), sums[r][i]);
    }
  }
}

// The last weights of the rows, fewer than kNr, as such a block.
template <typename W, int64_t R, int64_t X>
HWY_ATTR void add_last(const typename W::T* const (&w)[R], int64_t at, int64_t count, const float* x, int64_t stride,
                       Vec (&sums)[R][X]) {
  typename W::T ends[R][kNr] = {};
  const typename W::T* moved[R];
  for (int64_t r = 0; r < R; ++r) {
    std::memcpy(ends[r], w[r] + at, static_cast<size_t>(count) * sizeof(typename W::T));
    moved[r] = ends[r];
  }
  add_block<W, R, X>(moved, 0, x + at, stride, sums);
}

// out[r * X + i] = row r of R rows of the matrix times row i of X rows of x.
template <typename W, int64_t R, int64_t X>
HWY_ATTR void row_dots(const Gemv& g, const typename W::T* first, const float* scales, const float* x, int64_t stride,
                       float* out) {
  const Tag d;
  constexpr auto kLine = static_cast<int64_t>(64 / sizeof(typename W::T));
  const typename W::T* w[R];
  Vec total[R][X];
#pragma GCC unroll 4
  for (int64_t r = 0; r < R; ++r) {
    w[r] = first + r * g.k;
    for (int64_t i = 0; i < X; ++i) total[r][i] = hn::Zero(d);
  }
  const int64_t groups = scale_groups(g.k), group = W::kScaled ? abi::kScaleGroup : g.k;
  for (int64_t begin = 0, s = 0; begin < g.k; begin += group, ++s) {
    const int64_t end = std::min(g.k, begin + group);
    Vec part[R][X];
#pragma GCC unroll 4
    for (int64_t r = 0; r < R; ++r) {
      for (int64_t i = 0; i < X; ++i) part[r][i] = hn::Zero(d);
    }
    int64_t at = begin;
    for (; at + kNr <= end; at += kNr) {
      // The rows that come next: the processor's own prefetcher stops at the end of a page.
      if (kNr >= kLine || at % kLine == 0) {
#pragma GCC unroll 4
        for (int64_t r = 0; r < R; ++r) hwy::Prefetch(w[r] + R * g.k + at);
      }
      add_block<W, R, X>(w, at, x, stride, part);
    }
    if (at < end) add_last<W, R, X>(w, at, end - at, x, stride, part);
#pragma GCC unroll 4
    for (int64_t r = 0; r < R; ++r) {
      for (int64_t i = 0; i < X; ++i) {
        total[r][i] = W::kScaled ? hn::MulAdd(part[r][i], hn::Set(d, scales[r * groups + s]), total[r][i]) : part[r][i];
      }
    }
  }
  for (int64_t r = 0; r < R; ++r) {
    for (int64_t i = 0; i < X; ++i) out[r * X + i] = hn::GetLane(hn::SumOfLanes(d, total[r][i]));
  }
}

template <typename W>
const typename W::T* weights_at(const Gemv& g, int64_t matrix, int64_t row) {
  return static_cast<const typename W::T*>(g.weights) + (matrix * g.height + g.first + row) * g.k;
}
inline const float* scales_at(const Gemv& g, int64_t matrix, int64_t row) {
  return g.scales == nullptr ? nullptr : g.scales + (matrix * g.height + g.first + row) * scale_groups(g.k);
}

inline void store(const Gemv& g, int64_t row, int64_t column, float value) {
  const int64_t at = row * g.width() + column;
  if (g.y_dtype == DType::kF32) {
    static_cast<float*>(g.y)[at] = value;
  } else {
    set_element(static_cast<uint16_t*>(g.y)[at], value);
  }
}

template <typename W, int64_t R, int64_t X>
HWY_ATTR void store_row_dots(const Gemv& g, const GemvRows& rows, const GemvPiece& p, int64_t n, int64_t first) {
  float out[R * X];
  row_dots<W, R, X>(g, weights_at<W>(g, p.matrix, n), scales_at(g, p.matrix, n), rows.x + first * rows.stride,
                    rows.stride, out);
  for (int64_t r = 0; r < R; ++r) {
    for (int64_t i = 0; i < X; ++i) store(g, rows.order[static_cast<size_t>(first + i)], n + r, out[r * X + i]);
  }
}

template <typename W, int64_t R>
HWY_ATTR void dot_piece(const Gemv& g, const GemvRows& rows, const GemvPiece& p, int64_t n) {
  int64_t at = p.row;
  for (; at + kMaxRows <= p.row + p.rows; at += kMaxRows) store_row_dots<W, R, kMaxRows>(g, rows, p, n, at);
  if constexpr (kMaxRows > 1) {
    for (; at < p.row + p.rows; ++at) store_row_dots<W, R, 1>(g, rows, p, n, at);
  }
}

// Columns of the transposed product that are gone through together; they lie in one group of scales.
constexpr int64_t kColumnPairs = std::min<int64_t>(4, abi::kScaleGroup / kNr);
constexpr int64_t kColumns = kColumnPairs * kNr;
static_assert(abi::kScaleGroup % kColumns == 0);

// sums += factor * kColumns weights.
template <typename W>
HWY_ATTR HWY_INLINE void add_columns(const typename W::T* w, float factor, Vec (&sums)[2 * kColumnPairs]) {
  const Vec f = hn::Set(Tag(), factor);
#pragma GCC unroll 4
  for (int64_t v = 0; v < kColumnPairs; ++v) {
    Vec a, b;
    W::load(w + v * kNr, a, b);
    sums[2 * v] = hn::MulAdd(f, a, sums[2 * v]);
    sums[2 * v + 1] = hn::MulAdd(f, b, sums[2 * v + 1]);
  }
}

// out = x [n] times columns column .. column + count - 1 of a matrix; count <= kColumns.
template <typename W>
HWY_ATTR void combine_rows(const Gemv& g, int64_t matrix, int64_t column, int64_t count, const float* x, float* out) {
  const Tag d;
  const typename W::T* w = weights_at<W>(g, matrix, 0) + column;
  const float* scale = scales_at(g, matrix, 0);
  if (W::kScaled) scale += column / abi::kScaleGroup;
  Vec sums[2 * kColumnPairs];
#pragma GCC unroll 8
  for (Vec& s : sums) s = hn::Zero(d);
  typename W::T ends[kColumns] = {};
  for (int64_t i = 0; i < g.n; ++i, w += g.k) {
    const float factor = W::kScaled ? x[i] * scale[i * scale_groups(g.k)] : x[i];
    if (count == kColumns) {
      add_columns<W>(w, factor, sums);
    } else {
      std::memcpy(ends, w, static_cast<size_t>(count) * sizeof(typename W::T));
      add_columns<W>(ends, factor, sums);
    }
  }
#pragma GCC unroll 4
  for (int64_t v = 0; v < kColumnPairs; ++v) {
    if constexpr (W::kInterleaved) {
      hn::StoreInterleaved2(sums[2 * v], sums[2 * v + 1], d, out + v * kNr);
    } else {
      hn::StoreU(sums[2 * v], d, out + v * kNr);
      hn::StoreU(sums[2 * v + 1], d, out + v * kNr + kLanes);
    }
  }
}

template <typename W>
HWY_ATTR void gemv_piece_of(const Gemv& g, const GemvRows& rows, const GemvPiece& p) {
  if (!g.transposed) {
    int64_t n = p.begin;
    for (; n + kMatrixRows <= p.end; n += kMatrixRows) dot_piece<W, kMatrixRows>(g, rows, p, n);
    for (; n < p.end; ++n) dot_piece<W, 1>(g, rows, p, n);
    return;
  }
  float out[kColumns];
  for (int64_t c = p.begin; c < p.end; c += kColumns) {
    const int64_t count = std::min(kColumns, p.end - c);
    for (int64_t r = p.row; r < p.row + p.rows; ++r) {
      combine_rows<W>(g, p.matrix, c, count, rows.x + r * rows.stride, out);
      for (int64_t i = 0; i < count; ++i) store(g, rows.order[static_cast<size_t>(r)], c + i, out[i]);
    }
  }
}

HWY_ATTR void gemv_piece(const Gemv& g, const GemvRows& rows, const GemvPiece& p) {
  if (g.weight_dtype == DType::kS8) return gemv_piece_of<Int8Weights>(g, rows, p);
  if (g.weight_dtype == DType::kBF16) return gemv_piece_of<BFloat16Weights>(g, rows, p);
  if (g.dtype == DType::kBF16) return gemv_piece_of<RoundedWeights>(g, rows, p);
  gemv_piece_of<Float32Weights>(g, rows, p);
}

// One row of x as float32, in the order of the weights where they are summed along the row.
template <typename T>
HWY_ATTR void take_row(const T* from, int64_t count, bool interleaved, float* to) {
  if (!interleaved) {
    for (int64_t i = 0; i < count; ++i) to[i] = element(from[i]);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t block = i / kNr * kNr, within = i % kNr;
    to[block + within % 2 * kLanes + within / 2] = element(from[i]);
  }
}

HWY_ATTR void take_rows(const Gemv& g, GemvRows& rows, Scratch& scratch) {
  const int64_t depth = g.depth();
  const bool interleaved = !g.transposed && g.weight_dtype == DType::kBF16;
  rows.stride = (depth + kNr - 1) / kNr * kNr;
  rows.x = scratch.reserve(g.rows() * rows.stride);
  for (int64_t r = 0; r < g.rows(); ++r) {
    float* to = rows.x + r * rows.stride;
    std::fill(to + depth / kNr * kNr, to + rows.stride, 0.0f);
    const int64_t from = rows.order[static_cast<size_t>(r)] * depth;
    if (g.dtype == DType::kF32) {
      take_row(static_cast<const float*>(g.x) + from, depth, interleaved, to);
    } else {
      take_row(static_cast<const uint16_t*>(g.x) + from, depth, interleaved, to);
    }
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(gemv_piece);
HWY_EXPORT(take_rows);

namespace {

// Weights of a piece: enough that a task costs nothing beside reading them, few enough to share among cores.
constexpr int64_t kPieceBytes = int64_t{128} << 10;
// Below so many weights one thread is done before another one is awake.
constexpr int64_t kBytesAlone = int64_t{512} << 10;

// Rows of a matrix, or columns of a transposed one, in one piece.
int64_t piece_step(const Gemv& g) {
  const int64_t unit = g.transposed ? abi::kScaleGroup : 4;
  return std::max<int64_t>(kPieceBytes / std::max<int64_t>(g.depth() * byte_size(g.weight_dtype) * unit, 1), 1) * unit;
}

// What depends on the shapes and on the choice of matrices alone.
std::vector<GemvPiece> cut(const Gemv& g, const std::vector<int64_t>& order) {
  std::vector<GemvPiece> out;
  const int64_t step = piece_step(g);
  for (int64_t row = 0, next = 0; row < g.rows(); row = next) {
    const int32_t matrix = g.which[static_cast<size_t>(order[static_cast<size_t>(row)])];
    while (next < g.rows() && g.which[static_cast<size_t>(order[static_cast<size_t>(next)])] == matrix) ++next;
    for (int64_t at = 0; at < g.width(); at += step) {
      out.push_back({matrix, row, next - row, at, std::min(at + step, g.width())});
    }
  }
  return out;
}

}  // namespace

void gemv(const Gemv& g, Parallel& parallel) {
  check_which(g);
  thread_local Scratch scratch;
  GemvRows rows;
  rows.order.resize(g.which.size());
  std::iota(rows.order.begin(), rows.order.end(), 0);
  std::ranges::stable_sort(rows.order, {}, [&](int64_t r) { return g.which[static_cast<size_t>(r)]; });
  HWY_DYNAMIC_DISPATCH(take_rows)(g, rows, scratch);
  const std::vector<GemvPiece> pieces = cut(g, rows.order);
  int64_t bytes = 0;
  for (const GemvPiece& p : pieces) bytes += (p.end - p.begin) * g.depth() * byte_size(g.weight_dtype);
  Serial alone;
  Parallel& threads = bytes < kBytesAlone ? alone : parallel;
  threads.run(static_cast<int64_t>(pieces.size()), [&](int64_t t) {
    HWY_DYNAMIC_DISPATCH(gemv_piece)(g, rows, pieces[static_cast<size_t>(t)]);
  });
}

}  // namespace fathom::cpu
#endif
