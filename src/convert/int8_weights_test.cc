#include "convert/int8_weights.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/bf16.h"

namespace fathom {
namespace {

using testing::ElementsAre;

struct Quantized {
  std::vector<int8_t> q;
  std::vector<float> scales;
};

Quantized quantized(const std::vector<float>& w, int64_t rows, int64_t columns) {
  Quantized out{std::vector<int8_t>(w.size(), 99),
                std::vector<float>(static_cast<size_t>(rows * ((columns + 127) / 128)))};
  quantize_int8(DType::kF32, reinterpret_cast<const std::byte*>(w.data()), rows, columns, out.q.data(),
                out.scales.data());
  return out;
}

TEST(Int8Weights, AreTheNearestWholeNumbersOfAScale) {
  const Quantized got = quantized({1.27F, -0.005F, 0.015F, 0.635F, -1.27F, 0.0049F}, 1, 6);
  EXPECT_FLOAT_EQ(got.scales[0], 0.01F);
  EXPECT_THAT(got.q, ElementsAre(127, 0, 2, 64, -127, 0)) << "ties go to the even number";
}

TEST(Int8Weights, OfZerosAreZeros) {
  const Quantized got = quantized({0, -0.0F, 1e-45F, 2, 0, 0, 0, 0}, 2, 4);
  EXPECT_THAT(got.q, ElementsAre(0, 0, 0, 127, 0, 0, 0, 0));
  EXPECT_EQ(got.scales[1], 0);
}

// Rows of two and a half groups, more of them than a thread takes at once, in both types.
TEST(Int8Weights, HaveAScaleForEachGroupOfEachRow) {
  constexpr int64_t kRows = 150, kColumns = 320;
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> w(kRows * kColumns);
  std::vector<uint16_t> narrow;
  for (float& x : w) {
    x = bf16_to_float(float_to_bf16(normal(engine)));
    narrow.push_back(float_to_bf16(x));
  }
  const Quantized got = quantized(w, kRows, kColumns);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t g = 0; g < 3; ++g) {
      const int64_t begin = r * kColumns + g * 128, end = r * kColumns + std::min<int64_t>(g * 128 + 128, kColumns);
      const float scale = got.scales[static_cast<size_t>(r * 3 + g)];
      float most = 0;
      for (int64_t i = begin; i < end; ++i) {
        const float x = w[static_cast<size_t>(i)];
        most = std::max(most, std::abs(x));
        ASSERT_LE(std::abs(x - scale * got.q[static_cast<size_t>(i)]), 0.5001F * scale) << r << " " << i - begin;
      }
      ASSERT_FLOAT_EQ(scale, most / 127);
    }
  }
  Quantized again = got;
  std::ranges::fill(again.q, 99);
  quantize_int8(DType::kBF16, reinterpret_cast<const std::byte*>(narrow.data()), kRows, kColumns, again.q.data(),
                again.scales.data());
  EXPECT_EQ(again.q, got.q);
  EXPECT_EQ(again.scales, got.scales);
}

}  // namespace
}  // namespace fathom
