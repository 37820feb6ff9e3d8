// Packed matrix product after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): panels
// of b are packed so that a micro-kernel of kMr x 2 vectors reads both operands in order. Built once per instruction
// set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/micro-inl.h"
#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {

// kKc x 2 vectors of b (32 KiB with AVX-512) stay in the first-level cache while the rows of a pass by.
constexpr int64_t kKc = 256;
// kKc x kNc floats of packed b (512 KiB) stay in the second-level cache.
constexpr int64_t kNc = 512;

// A tile at the right edge goes through a full-width buffer.
HWY_ATTR void tile(int64_t rows, int64_t columns, Micro m) {
  if (columns == kNr) return micro_rows<kMr>(rows, m);
  HWY_ALIGN float edge[kMr * kNr];
  float* c = std::exchange(m.c, edge);
  int64_t c_row = std::exchange(m.c_row, kNr);
  bool add = std::exchange(m.add, false);
  micro_rows<kMr>(rows, m);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      float& to = c[r * c_row + j];
      to = add ? to + edge[r * kNr + j] : edge[r * kNr + j];
    }
  }
}

HWY_ATTR void gemm_blocks(const Gemm& g) {
  thread_local Scratch scratch_a, scratch_b;
  for (int64_t k0 = 0; k0 < g.k; k0 += kKc) {
    int64_t kc = std::min(kKc, g.k - k0);
    bool add = g.accumulate || k0 > 0;
    for (int64_t j0 = 0; j0 < g.n; j0 += kNc) {
      int64_t nc = std::min(kNc, g.n - j0);
      int64_t padded = (nc + kNr - 1) / kNr * kNr;
      float* b = scratch_b.reserve(kc * padded);
      pack<kNr>(g.b, k0, kc, j0, nc, b);
      // a in blocks of rows that fit beside b; transposed packing: panels of kMr rows.
      constexpr int64_t kMc = 16 * kMr;
      for (int64_t i0 = 0; i0 < g.m; i0 += kMc) {
        int64_t mc = std::min(kMc, g.m - i0);
        float* a = scratch_a.reserve(kMc * kc);
        pack<kMr>({g.a.data, g.a.dtype, g.a.column, g.a.row}, k0, kc, i0, mc, a);
        for (int64_t j = 0; j < nc; j += kNr) {
          for (int64_t i = 0; i < mc; i += kMr) {
            tile(std::min(kMr, mc - i), std::min(kNr, nc - j),
                 {.depth = kc,
                  .a = a + i * kc,
                  .a_step = kMr,
                  .b = b + j * kc,
                  .c = g.c + (i0 + i) * g.c_row + j0 + j,
                  .c_row = g.c_row,
                  .add = add});
          }
        }
      }
    }
  }
  if (g.k == 0 && !g.accumulate) {
    for (int64_t i = 0; i < g.m; ++i) std::fill(g.c + i * g.c_row, g.c + i * g.c_row + g.n, 0.0f);
  }
}

HWY_ATTR void store_rows(const float* from, int64_t from_row, uint16_t* to, int64_t to_row, int64_t rows,
                         int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      uint32_t bits;
      std::memcpy(&bits, from + i * from_row + j, sizeof bits);
      bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
      uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
      to[i * to_row + j] = static_cast<uint16_t>(nan ? (bits >> 16) | 0x40u : rounded);
    }
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom::cpu {

HWY_EXPORT(gemm_blocks);
HWY_EXPORT(store_rows);

void gemm(const Gemm& g) { HWY_DYNAMIC_DISPATCH(gemm_blocks)(g); }
void store_bf16(const float* from, int64_t from_row, uint16_t* to, int64_t to_row, int64_t rows, int64_t columns) {
  HWY_DYNAMIC_DISPATCH(store_rows)(from, from_row, to, to_row, rows, columns);
}

}  // namespace fathom::cpu
#endif
