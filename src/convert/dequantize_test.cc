#include "convert/dequantize.h"

#include <gmock/gmock.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/bf16.h"

namespace fathom {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// The definition, in float64: exact before its two roundings.
uint16_t expected(uint8_t code, float scale) {
  const int exponent = code >> 3 & 0xf, mantissa = code & 7;
  if ((code & 0x7f) == 0x7f) return 0x7fc0;
  double x = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  if (code >= 0x80) x = -x;
  return float_to_bf16(static_cast<float>(x * static_cast<double>(scale)));
}

bool same_number(uint16_t a, uint16_t b) {
  const bool a_nan = (a & 0x7fff) > 0x7f80, b_nan = (b & 0x7fff) > 0x7f80;
  return a_nan || b_nan ? a_nan && b_nan : a == b;
}

// Every scale of a kind that changes how products round: whole range, ties, subnormal and infinite products.
std::vector<float> some_scales() {
  std::vector<float> out = {0.0F,      -0.0F,     1.0F,        -1.0F,         0x1p-126F, 0x1p-127F,
                            0x1p-149F, 0x1p-117F, 0x1.fp-118F, 0x1.000002p0F, 0x1p118F,  0x1.000002p118F,
                            0x1p127F,  kInf,      -kInf,       std::nanf("")};
  for (int i = 0; i < 400; ++i) out.push_back(std::ldexp(1 + static_cast<float>(i * 7919 % 1009) / 1009, i - 200));
  for (int byte = 0; byte < 256; ++byte) out.push_back(float_of_e8m0(static_cast<uint8_t>(byte)));
  for (uint32_t low = 0; low < 64; ++low) out.push_back(std::bit_cast<float>(0x3f800000U + low * 0x00011111U));
  return out;
}

TEST(DequantizeFp8, EveryCodeTimesAScaleIsExact) {
  SubnormalsKept subnormals;
  std::vector<uint8_t> codes(256);
  std::iota(codes.begin(), codes.end(), 0);
  std::vector<uint16_t> out(256);
  for (float scale : some_scales()) {
    const std::vector<Fp8Scale> scales = {Fp8Scale(scale)};
    EXPECT_EQ(dequantize_fp8({.count = 256, .block = 256}, codes.data(), scales, out.data()), 2) << scale;
    for (size_t i = 0; i < codes.size(); ++i) {
      EXPECT_TRUE(same_number(out[i], expected(codes[i], scale))) << scale << " code " << i << " gives " << out[i];
    }
  }
}

// What begins and ends anywhere in a block is the part of the whole row.
TEST(DequantizeFp8, APieceOfARowIsThatPartOfIt) {
  SubnormalsKept subnormals;
  constexpr int64_t kColumns = 150, kBlock = 32;
  std::vector<uint8_t> codes(kColumns);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 37);
  std::vector<Fp8Scale> scales;
  for (float scale : {1.5F, 0x1p-130F, 3e-5F, 7.0F, -2.0F}) scales.emplace_back(scale);
  std::vector<uint16_t> whole(kColumns);
  dequantize_fp8({.count = kColumns, .block = kBlock}, codes.data(), scales, whole.data());
  for (int64_t first = 0; first < kColumns; first += 7) {
    for (int64_t count : {int64_t{1}, int64_t{31}, int64_t{32}, kColumns - first}) {
      if (first + count > kColumns) continue;
      std::vector<uint16_t> part(static_cast<size_t>(count), 0xabcd);
      dequantize_fp8({first, count, kBlock}, codes.data() + first, scales, part.data());
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << first << " " << count;
    }
  }
}

TEST(DequantizeFp4, EveryCodeTimesAScaleIsExactLowHalfFirst) {
  SubnormalsKept subnormals;
  constexpr float kValues[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0F, -0.5, -1, -1.5, -2, -3, -4, -6};
  std::vector<uint8_t> packed(16);
  for (size_t i = 0; i < packed.size(); ++i) packed[i] = static_cast<uint8_t>(i | (15 - i) << 4);
  std::vector<uint16_t> out(32);
  for (int byte = 0; byte < 256; ++byte) {
    const float scale = float_of_e8m0(static_cast<uint8_t>(byte));
    dequantize_fp4({.count = 32, .block = 32}, packed.data(), std::vector{scale}, out.data());
    for (size_t i = 0; i < 32; ++i) {
      const float value = kValues[i % 2 == 0 ? i / 2 : 15 - i / 2];
      EXPECT_TRUE(same_number(out[i], float_to_bf16(value * scale))) << byte << " " << i;
    }
  }
}

TEST(ScaleBytes, ArePowersOfTwo) {
  EXPECT_EQ(float_of_e8m0(127), 1.0F);
  EXPECT_EQ(float_of_e8m0(0), 0x1p-127F);
  EXPECT_EQ(float_of_e8m0(1), 0x1p-126F);
  EXPECT_EQ(float_of_e8m0(254), 0x1p127F);
  EXPECT_TRUE(std::isnan(float_of_e8m0(255)));
}

#ifdef __SSE__
// Plugins run threads that flush subnormal numbers; a loader called from one must give the converter's numbers.
TEST(SubnormalsKept, HoldWhereALibraryFlushesThem) {
  const unsigned before = _mm_getcsr();
  constexpr unsigned kFlush = 0x8040;
  _mm_setcsr(before | kFlush);
  uint16_t kept = 0;
  {
    SubnormalsKept subnormals;
    const std::vector<Fp8Scale> scales = {Fp8Scale(0x1p-127F)};
    const uint8_t one = 0x38;
    dequantize_fp8({.count = 1}, &one, scales, &kept);
  }
  EXPECT_EQ(_mm_getcsr() & kFlush, kFlush);
  _mm_setcsr(before);
  EXPECT_EQ(kept, 0x0040);  // 2^-127
}
#endif

}  // namespace
}  // namespace fathom
