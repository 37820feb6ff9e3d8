#include "base/host_array.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/bf16.h"
#include "base/half.h"

namespace fathom {
namespace {

TEST(HostArray, AllocatesWithTheAlignmentThatZeroCopyNeeds) {
  HostArray a = HostArray::allocate(DType::kF32, {3, 5});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 64, 0u);
  EXPECT_EQ(a.bytes(), 60);
}

TEST(HostArray, NothingTimesAnythingIsNothingAndMoreThanCanBeCountedIsRefused) {
  constexpr int64_t kHuge = int64_t{1} << 62;
  EXPECT_EQ(HostArray(DType::kF32, {kHuge, kHuge, 0}, nullptr, nullptr).elements(), 0);
  EXPECT_THROW(HostArray(DType::kF32, {kHuge, 4}, nullptr, nullptr).elements(), std::overflow_error);
}

TEST(HostArray, RefusesToWriteForeignMemory) {
  static const float kData[2] = {1, 2};
  HostArray a(DType::kF32, {2}, reinterpret_cast<const std::byte*>(kData), nullptr);
  EXPECT_THROW(a.mutable_data(), std::logic_error);
}

// Twice as many bytes as there are, else.
TEST(HostArray, RefusesAViewOfElementsOfAnotherSize) {
  HostArray a = HostArray::allocate(DType::kBF16, {2});
  EXPECT_THROW(a.view<float>(), std::logic_error);
  EXPECT_THROW(a.mutable_view<uint8_t>(), std::logic_error);
  EXPECT_EQ(a.view<uint16_t>().size(), 2u);
}

TEST(Bf16, RoundsToNearestEvenAndKeepsNan) {
  EXPECT_EQ(bf16_to_float(float_to_bf16(1.00390625f)), 1.0f);  // exactly half way: to even
  EXPECT_EQ(bf16_to_float(float_to_bf16(1.01171875f)), 1.015625f);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Half, RoundTripsEveryFiniteValue) {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    float x = half_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(x)) continue;
    EXPECT_EQ(float_to_half(x), bits);
  }
}

TEST(Convert, KeepsValuesAcrossTypes) {
  HostArray a = HostArray::allocate(DType::kF32, {3});
  a.mutable_view<float>()[0] = 1.5f;
  a.mutable_view<float>()[1] = -2.0f;
  a.mutable_view<float>()[2] = 0.0f;
  HostArray b = convert(convert(a, DType::kBF16), DType::kF32);
  EXPECT_THAT(b.view<float>(), testing::ElementsAre(1.5f, -2.0f, 0.0f));
}

}  // namespace
}  // namespace fathom
