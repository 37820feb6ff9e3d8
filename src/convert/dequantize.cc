#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "convert/dequantize.cc"
#include <hwy/foreach_target.h>
// clang-format off: Highway's headers come after foreach_target.h
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/bf16.h"
#include "convert/dequantize.h"

#ifndef FATHOM_CONVERT_DEQUANTIZE_ONCE
#define FATHOM_CONVERT_DEQUANTIZE_ONCE
namespace fathom {

constexpr uint8_t kMagnitude = 0x7f, kSignBit = 0x80;  // of e4m3; a magnitude of all ones is NaN
constexpr uint16_t kQuietNan = 0x7fc0;                 // bfloat16

// Any code and scale.
inline uint16_t scaled_code(uint8_t code, float scale) {
  if ((code & kMagnitude) == kMagnitude) return static_cast<uint16_t>(kQuietNan | (code & kSignBit) << 8);
  return float_to_bf16(float_of_e4m3fn(code) * scale);
}

}  // namespace fathom
#endif

HWY_BEFORE_NAMESPACE();
namespace fathom::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
// Whole vectors of codes of one scale that is in range: gives how many codes that are. Those that are NaN come out as
// numbers; `nan` says that there are any.
HWY_ATTR HWY_INLINE int64_t fp8_vectors(const Fp8Scale& scale, const uint8_t* codes, int64_t count, uint16_t* out,
                                        bool& nan) {
  const hn::CappedTag<uint8_t, 32> d;
  const hn::Repartition<uint16_t, decltype(d)> d16;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto low = hn::LoadDup128(d, scale.low().data());
  const auto high = hn::LoadDup128(d, scale.high().data());
  const auto sign_bit = hn::Set(d, kSignBit), eight = hn::Set(d, 8), zero = hn::Zero(d);
  auto any_nan = zero;
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto code = hn::LoadU(d, codes + i);
    const auto exponent = hn::And(code, hn::Set(d, 0x78));  // eight times it
    const auto subnormal = hn::VecFromMask(d, hn::Eq(exponent, zero));
    const auto index = hn::Or(hn::And(code, hn::Set(d, 7)), hn::And(subnormal, eight));
    const auto low_bytes = hn::TableLookupBytes(low, index);
    const auto high_bytes = hn::Xor(hn::TableLookupBytes(high, index), hn::And(code, sign_bit));
    const auto powers = hn::SaturatedSub(exponent, eight);
    any_nan = hn::Or(any_nan, hn::VecFromMask(d, hn::Eq(hn::Or(code, sign_bit), hn::Set(d, 0xff))));
    // Of each 128 bits the lower and the upper eight codes.
    auto add = [&](auto bytes, auto eighths)
                   HWY_ATTR { return hn::Add(hn::BitCast(d16, bytes), hn::ShiftLeft<4>(hn::BitCast(d16, eighths))); };
    const auto first = add(hn::InterleaveLower(d, low_bytes, high_bytes), hn::InterleaveLower(d, powers, zero));
    const auto second = add(hn::InterleaveUpper(d, low_bytes, high_bytes), hn::InterleaveUpper(d, powers, zero));
    if constexpr (hn::MaxLanes(d) > 16) {
      hn::StoreU(hn::ConcatLowerLower(d16, second, first), d16, out + i);
      hn::StoreU(hn::ConcatUpperUpper(d16, second, first), d16, out + i + lanes / 2);
    } else {
      hn::StoreU(first, d16, out + i);
      hn::StoreU(second, d16, out + i + lanes / 2);
    }
  }
  nan = !hn::AllTrue(d, hn::Eq(any_nan, zero));
  return i;
}
#endif

// Whether a code is NaN.
HWY_ATTR bool fp8_row(const ScaledRow& row, const uint8_t* codes, const Fp8Scale* scales, uint16_t* out) {
  bool nan = false;
  for (int64_t i = 0; i < row.count;) {
    const int64_t column = row.column + i;
    const Fp8Scale& scale = scales[column / row.block];
    const int64_t end = std::min(row.count, i + row.block - column % row.block);
#if HWY_TARGET != HWY_SCALAR
    bool among = false;
    const int64_t done = scale.in_range() ? fp8_vectors(scale, codes + i, end - i, out + i, among) : 0;
    i += among ? 0 : done;
#endif
    for (; i < end; ++i) {
      out[i] = scaled_code(codes[i], scale.scale());
      nan = nan || (codes[i] & kMagnitude) == kMagnitude;
    }
  }
  return nan;
}

}  // namespace fathom::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fathom {
namespace {

HWY_EXPORT(fp8_row);

// Positive numbers of e4m3fn: sign, 4 bits of exponent (bias 7, 0: subnormal), 3 of mantissa.
constexpr float magnitude_of(int code) {
  const int exponent = code >> 3, mantissa = code & 7;
  if (code == kMagnitude) return std::numeric_limits<float>::quiet_NaN();
  const auto integer = static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa);
  constexpr float kUnit = 0x1p-9F;
  return integer * kUnit * static_cast<float>(1 << std::max(exponent - 1, 0));
}

constexpr std::array<float, 256> kE4m3fn = [] {
  std::array<float, 256> out{};
  for (int code = 0; code < 256; ++code) {
    const float x = magnitude_of(code & kMagnitude);
    out[static_cast<size_t>(code)] = code < kSignBit ? x : -x;
  }
  return out;
}();

constexpr float kE2m1[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};

}  // namespace

float float_of_e4m3fn(uint8_t code) { return kE4m3fn[code]; }

float float_of_e8m0(uint8_t exponent) {
  constexpr uint8_t kNan = 0xff;
  constexpr uint32_t kSubnormal = 0x00400000;  // 2^-127
  if (exponent == kNan) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(exponent == 0 ? kSubnormal : uint32_t{exponent} << 23);
}

// The smallest product is 2^-9 x scale; the largest, 448 x scale, stays below 2^127.
Fp8Scale::Fp8Scale(float scale)
    : scale_(scale), in_range_(std::fabs(scale) >= 0x1p-117F && std::fabs(scale) <= 0x1p118F) {
  if (!in_range_) return;
  for (size_t i = 0; i < low_.size(); ++i) {
    const size_t code = i < 8 ? 8 + i : i - 8;
    const uint16_t bits = float_to_bf16(kE4m3fn[code] * scale);
    low_[i] = static_cast<uint8_t>(bits & 0xff);
    high_[i] = static_cast<uint8_t>(bits >> 8);
  }
}

int64_t dequantize_fp8(const ScaledRow& row, const uint8_t* codes, std::span<const Fp8Scale> scales, uint16_t* out) {
  if (!HWY_DYNAMIC_DISPATCH(fp8_row)(row, codes, scales.data(), out)) return 0;
  return std::count_if(codes, codes + row.count, [](uint8_t code) { return (code & kMagnitude) == kMagnitude; });
}

void dequantize_fp4(const ScaledRow& row, const uint8_t* packed, std::span<const float> scales, uint16_t* out) {
  std::array<uint16_t, 16> numbers{};  // of the codes, times the scale
  for (int64_t i = 0; i < row.count;) {
    const int64_t column = row.column + i;
    const float scale = scales[static_cast<size_t>(column / row.block)];
    for (size_t code = 0; code < std::size(kE2m1); ++code) {
      numbers[code] = float_to_bf16(kE2m1[code] * scale);
      numbers[code + std::size(kE2m1)] = float_to_bf16(-kE2m1[code] * scale);
    }
    const int64_t end = std::min(row.count, i + row.block - column % row.block);
    for (; i < end; ++i) {
      const uint8_t pair = packed[i / 2];
      out[i] = numbers[i % 2 == 0 ? pair & 0xf : pair >> 4];
    }
  }
}

SubnormalsKept::SubnormalsKept() {
  std::fegetenv(&before_);
  std::fesetenv(FE_DFL_ENV);
}

SubnormalsKept::~SubnormalsKept() { std::fesetenv(&before_); }

}  // namespace fathom
#endif
