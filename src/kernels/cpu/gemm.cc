// Packed matrix product after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): panels
// of b are packed so that a micro-kernel of kMr x 2 vectors reads them in order. Rows of a are read where they lie when
// their numbers stand side by side, else they are packed too. Built once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/elementwise-inl.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/micro-inl.h"
#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/scratch.h"

#ifndef FATHOM_KERNELS_CPU_GEMM_BLOCK
#define FATHOM_KERNELS_CPU_GEMM_BLOCK
namespace fathom::cpu {

// The rows and columns of c that are made at a time, and the part of k that goes into them: numbers, even where pairs
// are multiplied.
struct GemmBlock {
  int64_t i0 = 0, rows = 0;
  int64_t j0 = 0, columns = 0;
  int64_t k0 = 0, depth = 0;
  bool pairs = false;  // a and b are bfloat16 and multiplied in pairs

  // In a float's places.
  int64_t units() const { return pairs ? (depth + 1) / 2 : depth; }
};

// The operands of a block as the micro-kernel takes them.
struct PackedBlock {
  const float* b = nullptr;  // panels of the block's columns
  const float* a = nullptr;  // strips of the block's rows; null: a is read where it lies
};

}  // namespace fathom::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

HWY_ATTR void pack_columns(const Gemm& g, const GemmBlock& k, float* to) {
  if (!k.pairs) return pack<kNr>(g.b, k.k0, k.depth, k.j0, k.columns, to);
  if (pairs_in_place(g.b, g.k)) return pack<kNr>(as_pairs(g.b), k.k0 / 2, k.units(), k.j0, k.columns, to);
  pack_pairs<kNr>(g.b, k.k0, k.depth, k.j0, k.columns, to);
}

Strided transposed(const Strided& x) { return {x.data, x.dtype, x.column, x.row}; }

bool rows_in_place(const Gemm& g, bool pairs) {
  return pairs ? pairs_in_place(transposed(g.a), g.k) : g.a.dtype == DType::kF32 && g.a.column == 1;
}

HWY_ATTR void pack_rows(const Gemm& g, const GemmBlock& k, float* to) {
  if (k.pairs) return pack_pairs<kMr>(transposed(g.a), k.k0, k.depth, k.i0, k.rows, to);
  pack<kMr>(transposed(g.a), k.k0, k.depth, k.i0, k.rows, to);
}

// A tile at the right edge goes through a full-width buffer.
template <int64_t kRow, Units kUnits>
HWY_ATTR void tile(int64_t rows, int64_t columns, Micro m) {
  if (columns == kNr) return micro_rows<kMr, kRow, kUnits>(rows, m);
  HWY_ALIGN float edge[kMr * kNr];
  float* c = std::exchange(m.c, edge);
  int64_t c_row = std::exchange(m.c_row, kNr);
  bool add = std::exchange(m.add, false);
  micro_rows<kMr, kRow, kUnits>(rows, m);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      float& to = c[r * c_row + j];
      to = add ? to + edge[r * kNr + j] : edge[r * kNr + j];
    }
  }
}

// c: the block's own float32 numbers. kRow: 1 for packed strips of a, 0 for rows in place.
template <int64_t kRow, Units kUnits>
HWY_ATTR void multiply_tiles(const Gemm& g, const GemmBlock& k, const PackedBlock& packed, float* c, int64_t c_row) {
  const int64_t units = k.units();
  const int64_t unit = kUnits == Units::kPairs ? 2 : 1;  // numbers
  const float* a = packed.a;
  Micro m{.depth = units, .a_step = kMr, .c_row = c_row, .add = k.k0 > 0};
  if constexpr (kRow == 0) {
    m.a_step = 1;
    m.a_row = g.a.row / unit;
    a = static_cast<const float*>(g.a.data) + k.i0 * m.a_row + k.k0 / unit;
  }
  for (int64_t j = 0; j < k.columns; j += kNr) {
    m.b = packed.b + j * units;
    for (int64_t i = 0; i < k.rows; i += kMr) {
      m.a = a + i * (kRow == 0 ? m.a_row : units);
      m.c = c + i * c_row + j;
      tile<kRow, kUnits>(std::min(kMr, k.rows - i), std::min(kNr, k.columns - j), m);
    }
  }
}

template <Units kUnits>
HWY_ATTR void multiply_units(const Gemm& g, const GemmBlock& k, const PackedBlock& packed, float* c, int64_t c_row) {
  packed.a != nullptr ? multiply_tiles<1, kUnits>(g, k, packed, c, c_row)
                      : multiply_tiles<0, kUnits>(g, k, packed, c, c_row);
}

HWY_ATTR void multiply(const Gemm& g, const GemmBlock& k, const PackedBlock& packed, float* c, int64_t c_row) {
  k.pairs ? multiply_units<Units::kPairs>(g, k, packed, c, c_row)
          : multiply_units<Units::kFloats>(g, k, packed, c, c_row);
}

int64_t rows_of_strip() { return kMr; }
bool has_pairs() { return HWY_TARGET == HWY_AVX3; }

HWY_ATTR void store_rows(const float* from, int64_t from_row, uint16_t* to, int64_t to_row, int64_t rows,
                         int64_t columns) {
  for (int64_t i = 0; i < rows; ++i, from += from_row, to += to_row) {
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) narrow(widen(from + j), to + j);
    for (; j < columns; ++j) set_element(to[j], from[j]);
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {
namespace {

HWY_EXPORT(pack_columns);
HWY_EXPORT(pack_rows);
HWY_EXPORT(rows_in_place);
HWY_EXPORT(multiply);
HWY_EXPORT(rows_of_strip);
HWY_EXPORT(has_pairs);
HWY_EXPORT(store_rows);

// A strip of kMr rows of this depth (24 KiB with AVX-512) stays in the first-level cache while panels of b pass by.
constexpr int64_t kUnitDepth = 512;
// Panels of b that pass by while they stay in the second-level cache (kUnitDepth x 256 floats: 512 KiB).
constexpr int64_t kTaskColumns = 256;
constexpr int64_t kTaskStrips = 4;
// What is packed at a time for all cores, in the cache that they share: at most 4 MiB of b and 4 MiB of a.
constexpr int64_t kSharedColumns = 2048;
constexpr int64_t kSharedRows = 2048;
// A multiple of the width of a panel on every instruction set.
constexpr int64_t kPanelColumns = 32;

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Whether products are made of pairs: both bfloat16 and an instruction for it (AVX512_BF16).
bool multiplies_pairs(const Gemm& g) {
#if defined(__x86_64__)
  const bool can = __builtin_cpu_supports("avx512bf16") != 0 && HWY_DYNAMIC_DISPATCH(has_pairs)();
  return can && g.a.dtype == DType::kBF16 && g.b.dtype == DType::kBF16;
#else
  return false;
#endif
}

// The steps of a product; what is shared among cores is packed first, then each core takes blocks of c.
class Product {
 public:
  Product(const Gemm& g, Parallel& parallel)
      : g_(g),
        parallel_(parallel),
        pairs_(multiplies_pairs(g)),
        in_place_(HWY_DYNAMIC_DISPATCH(rows_in_place)(g, pairs_)),
        strip_(HWY_DYNAMIC_DISPATCH(rows_of_strip)()) {}

  void run() {
    const int64_t depth = kUnitDepth * (pairs_ ? 2 : 1);
    for (int64_t j = 0; j < g_.n; j += kSharedColumns) {
      for (int64_t i = 0; i < g_.m; i += kSharedRows) {
        for (int64_t k = 0; k < g_.k; k += depth) {
          step({.i0 = i,
                .rows = std::min(kSharedRows, g_.m - i),
                .j0 = j,
                .columns = std::min(kSharedColumns, g_.n - j),
                .k0 = k,
                .depth = std::min(depth, g_.k - k),
                .pairs = pairs_});
        }
      }
    }
  }

 private:
  void step(const GemmBlock& all) {
    const int64_t panel = kPanelColumns * all.units();
    const int64_t strip = strip_ * all.units();
    const int64_t panels = round_up(all.columns, kPanelColumns) / kPanelColumns;
    const int64_t strips = in_place_ ? 0 : round_up(all.rows, strip_) / strip_;
    thread_local Scratch scratch_a, scratch_b;
    float* b = scratch_b.reserve(panels * panel);
    float* a = in_place_ ? nullptr : scratch_a.reserve(strips * strip);
    parallel_.run(panels + strips, [&](int64_t t) {
      GemmBlock part = all;
      if (t < panels) {
        part.j0 += t * kPanelColumns;
        part.columns = std::min(kPanelColumns, all.columns - t * kPanelColumns);
        return HWY_DYNAMIC_DISPATCH(pack_columns)(g_, part, b + t * panel);
      }
      t -= panels;
      part.i0 += t * strip_;
      part.rows = std::min(strip_, all.rows - t * strip_);
      HWY_DYNAMIC_DISPATCH(pack_rows)(g_, part, a + t * strip);
    });
    multiply_all(all, {.b = b, .a = a});
  }

  void multiply_all(const GemmBlock& all, const PackedBlock& packed) {
    const int64_t task_rows = kTaskStrips * strip_;
    const int64_t down = round_up(all.rows, task_rows) / task_rows;
    const int64_t across = round_up(all.columns, kTaskColumns) / kTaskColumns;
    // Lives through all steps over k.
    thread_local Scratch scratch_sums;
    float* sums = g_.c_dtype == DType::kF32 ? nullptr : scratch_sums.reserve(all.rows * all.columns);
    parallel_.run(down * across, [&](int64_t t) {
      const int64_t i = t % down * task_rows, j = t / down * kTaskColumns;
      GemmBlock part = all;
      part.i0 += i;
      part.rows = std::min(task_rows, all.rows - i);
      part.j0 += j;
      part.columns = std::min(kTaskColumns, all.columns - j);
      PackedBlock here{.b = packed.b + j * all.units(),
                       .a = packed.a == nullptr ? nullptr : packed.a + i * all.units()};
      if (sums == nullptr) {
        float* c = static_cast<float*>(g_.c) + part.i0 * g_.c_row + part.j0;
        return HWY_DYNAMIC_DISPATCH(multiply)(g_, part, here, c, g_.c_row);
      }
      float* c = sums + i * all.columns + j;
      HWY_DYNAMIC_DISPATCH(multiply)(g_, part, here, c, all.columns);
      if (all.k0 + all.depth < g_.k) return;
      uint16_t* to = static_cast<uint16_t*>(g_.c) + part.i0 * g_.c_row + part.j0;
      HWY_DYNAMIC_DISPATCH(store_rows)(c, all.columns, to, g_.c_row, part.rows, part.columns);
    });
  }

  const Gemm& g_;
  Parallel& parallel_;
  const bool pairs_, in_place_;
  const int64_t strip_;
};

}  // namespace

void gemm(const Gemm& g, Parallel& parallel) {
  if (g.k > 0) return Product(g, parallel).run();
  for (int64_t i = 0; i < g.m; ++i) {
    std::memset(static_cast<char*>(g.c) + i * g.c_row * byte_size(g.c_dtype), 0,
                static_cast<size_t>(g.n * byte_size(g.c_dtype)));
  }
}

void gemm(const Gemm& g) {
  Serial serial;
  gemm(g, serial);
}

}  // namespace fathom::cpu
#endif
