// The innermost product of the matrix and attention kernels. Included once per instruction set.
#if defined(FATHOM_KERNELS_CPU_MICRO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FATHOM_KERNELS_CPU_MICRO_INL_H_
#undef FATHOM_KERNELS_CPU_MICRO_INL_H_
#else
#define FATHOM_KERNELS_CPU_MICRO_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace fathom::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Vec = hn::Vec<Tag>;

// 32 vector registers (AVX-512) hold 12 x 2 sums, 2 of b and a broadcast; 16 registers hold 6 x 2.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int64_t kMr = 12;
#else
constexpr int64_t kMr = 6;
#endif

// Columns of a micro-kernel's result: two vectors, whose size is a constant on all instruction sets we build for.
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Tag()));
constexpr int64_t kNr = 2 * kLanes;

// c[R, kNr] = [c +] sum over k of a[k][R] b[k][kNr]. The depth may come in pieces: those of b follow one another,
// those of a lie a_piece apart.
struct Micro {
  int64_t pieces = 1, depth = 0;
  const float* a = nullptr;
  int64_t a_step = 0;  // from one k to the next
  int64_t a_row = 0;   // from one row of the result to the next, unless it is a constant: template parameter kRow
  int64_t a_piece = 0;
  const float* b = nullptr;  // [pieces * depth, kNr], aligned
  float* c = nullptr;
  int64_t c_row = 0;
  bool add = false;
  const float* scale = nullptr;  // [kNr]: c is multiplied by it before the sums are added
};

// What a and b hold in a float's place.
enum class Units : uint8_t {
  kFloats,  // float32 numbers
  kPairs,   // the bfloat16 numbers of 2k (low half) and 2k + 1
};

// sum + x y; of pairs the sum of both products.
template <Units kUnits>
HWY_ATTR HWY_INLINE Vec multiply_add(Vec x, Vec y, Vec sum) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kUnits == Units::kPairs) {
    // Highway's target has no AVX512_BF16; whoever asks for pairs has asked the processor (gemm.cc).
    asm("vdpbf16ps %[y], %[x], %[sum]" : [sum] "+v"(sum.raw) : [x] "v"(x.raw), [y] "v"(y.raw));
    return sum;
  }
#endif
  return hn::MulAdd(x, y, sum);
}

// kRow = 0: the row stride is m.a_row.
template <int64_t R, int64_t kRow, Units kUnits = Units::kFloats>
HWY_ATTR HWY_INLINE void micro(const Micro& m) {
  const Tag d;
  const int64_t a_row = kRow == 0 ? m.a_row : kRow;
  const int64_t a_row3 = 3 * a_row;
  Vec sum[R][2];
#pragma GCC unroll 16
  for (int64_t r = 0; r < R; ++r) sum[r][0] = sum[r][1] = hn::Zero(d);
  const float* HWY_RESTRICT b = m.b;
  for (int64_t piece = 0; piece < m.pieces; ++piece) {
    const float* HWY_RESTRICT a = m.a + piece * m.a_piece;
    // Four rows have an address of their own: with two strides the processor's address modes reach the others.
    const float* quad[(R + 3) / 4];
#pragma GCC unroll 4
    for (int64_t q = 0; q < (R + 3) / 4; ++q) quad[q] = a + 4 * q * a_row;
    for (int64_t k = 0; k < m.depth; ++k) {
      const Vec b0 = hn::Load(d, b);
      const Vec b1 = hn::Load(d, b + kLanes);
#pragma GCC unroll 16
      for (int64_t r = 0; r < R; ++r) {
        const Vec x = hn::Set(d, quad[r / 4][r % 4 == 3 ? a_row3 : r % 4 * a_row]);
        sum[r][0] = multiply_add<kUnits>(x, b0, sum[r][0]);
        sum[r][1] = multiply_add<kUnits>(x, b1, sum[r][1]);
      }
#pragma GCC unroll 4
      for (int64_t q = 0; q < (R + 3) / 4; ++q) quad[q] += m.a_step;
      b += kNr;
    }
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < R; ++r) {
    float* row = m.c + r * m.c_row;
    if (m.scale != nullptr) {
      sum[r][0] = hn::MulAdd(hn::LoadU(d, row), hn::LoadU(d, m.scale), sum[r][0]);
      sum[r][1] = hn::MulAdd(hn::LoadU(d, row + kLanes), hn::LoadU(d, m.scale + kLanes), sum[r][1]);
    } else if (m.add) {
      sum[r][0] = hn::Add(sum[r][0], hn::LoadU(d, row));
      sum[r][1] = hn::Add(sum[r][1], hn::LoadU(d, row + kLanes));
    }
    hn::StoreU(sum[r][0], d, row);
    hn::StoreU(sum[r][1], d, row + kLanes);
  }
}

// One call for each number of rows up to R.
template <int64_t R, int64_t kRow = 1, Units kUnits = Units::kFloats>
HWY_ATTR void micro_rows(int64_t rows, const Micro& m) {
  if constexpr (R > 0) {
    if (rows == R) return micro<R, kRow, kUnits>(m);
    micro_rows<R - 1, kRow, kUnits>(rows, m);
  }
}

}  // namespace fathom::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
