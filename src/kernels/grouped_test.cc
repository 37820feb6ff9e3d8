#include "kernels/grouped.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/bf16.h"

namespace fathom {
namespace {

struct Case {
  std::vector<int32_t> sizes;
  int64_t n, k, extra_rows;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << "groups " << testing::PrintToString(c.sizes) << " n " << c.n << " k " << c.k << " rows of no group "
       << c.extra_rows;
}

// Sizes around the kernel's block borders, empty groups, single rows and columns, rows that belong to no group; no
// rows, no columns, an empty sum, no groups.
const Case kCases[] = {
    {{3, 0, 5}, 7, 9, 0},
    {{1}, 1, 1, 0},
    {{0, 0}, 4, 4, 3},
    {{13, 12, 25}, 33, 257, 2},
    {{700, 1, 0, 30}, 300, 64, 0},
    {{24, 48}, 64, 512, 0},
    {{5, 6, 7}, 31, 1000, 1},
    {{0, 0, 0}, 5, 600, 0},
    {{2, 3}, 0, 600, 1},
    {{2, 3}, 600, 0, 1},
    {{}, 4, 5, 3},
    {{4}, 0, 0, 0},
};

std::vector<float> random(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> out(count);
  for (float& x : out) x = bf16_to_float(float_to_bf16(uniform(engine)));
  return out;
}

std::vector<uint16_t> to_bf16(const std::vector<float>& x) {
  std::vector<uint16_t> out;
  for (float v : x) out.push_back(float_to_bf16(v));
  return out;
}

int64_t rows_of(const Case& c) {
  int64_t m = c.extra_rows;
  for (int32_t s : c.sizes) m += s;
  return m;
}

// Float32 sums of `depth` products of numbers up to 1: half an ulp of the running sum each, with room for the order.
double tolerance(int64_t depth) { return 1.2e-7 * static_cast<double>(depth) + 1e-6; }

void expect_near(const std::vector<float>& got, const std::vector<float>& want, double limit) {
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= limit) << i << ": " << got[i] << " instead of " << want[i];
  }
}

class GroupedKernel : public testing::TestWithParam<Case> {};

TEST_P(GroupedKernel, EqualsTheOracleInFloat32) {
  const Case& c = GetParam();
  int64_t m = rows_of(c);
  Serial serial;
  std::vector<float> w = random(c.sizes.size() * static_cast<size_t>(c.n * c.k), 1);
  for (bool transposed : {false, true}) {
    std::vector<float> x = random(static_cast<size_t>(m * (transposed ? c.n : c.k)), 2);
    std::vector<float> got(static_cast<size_t>(m * (transposed ? c.k : c.n)), NAN);
    std::vector<float> want = got;
    GroupedMatmul g{DType::kF32, x.data(), w.data(), got.data(), c.sizes, m, c.n, c.k, transposed};
    cpu::grouped_matmul(g, serial);
    g.y = want.data();
    ref::grouped_matmul(g);
    expect_near(got, want, tolerance(transposed ? c.n : c.k));
  }
}

TEST_P(GroupedKernel, OuterProductEqualsTheOracleInFloat32) {
  const Case& c = GetParam();
  int64_t m = rows_of(c);
  Serial serial;
  std::vector<float> a = random(static_cast<size_t>(m * c.n), 3);
  std::vector<float> b = random(static_cast<size_t>(m * c.k), 4);
  std::vector<float> got(c.sizes.size() * static_cast<size_t>(c.n * c.k), NAN);
  std::vector<float> want = got;
  GroupedOuter g{DType::kF32, a.data(), b.data(), got.data(), c.sizes, m, c.n, c.k};
  cpu::grouped_outer(g, serial);
  g.w = want.data();
  ref::grouped_outer(g);
  expect_near(got, want, tolerance(m));
}

TEST_P(GroupedKernel, RoundsFloat32SumsOnceInBfloat16) {
  const Case& c = GetParam();
  int64_t m = rows_of(c);
  Serial serial;
  std::vector<uint16_t> w = to_bf16(random(c.sizes.size() * static_cast<size_t>(c.n * c.k), 1));
  std::vector<uint16_t> x = to_bf16(random(static_cast<size_t>(m * c.k), 2));
  std::vector<uint16_t> got(static_cast<size_t>(m * c.n));
  std::vector<uint16_t> want = got;
  GroupedMatmul g{DType::kBF16, x.data(), w.data(), got.data(), c.sizes, m, c.n, c.k, false};
  cpu::grouped_matmul(g, serial);
  g.y = want.data();
  ref::grouped_matmul(g);
  for (size_t i = 0; i < want.size(); ++i) {
    float a = bf16_to_float(got[i]);
    float b = bf16_to_float(want[i]);
    // One step of bfloat16 (2^-8) where the float32 sum lay at a rounding border.
    ASSERT_TRUE(std::abs(a - b) <= std::abs(b) / 128 + tolerance(c.k)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, GroupedKernel, testing::ValuesIn(kCases));

// Group sizes come from the device: wrong ones would have the kernels write behind the arrays, which end with the last
// of the eight rows.
class WrongGroupSizes : public testing::TestWithParam<std::vector<int32_t>> {
 protected:
  static constexpr int64_t kRows = 8, kN = 3, kK = 5;

  std::vector<float> x_ = random(kRows * 5, 1), w_ = random(3 * kN * kK, 2);
  std::vector<float> y_ = std::vector<float>(kRows * 5, -7), outer_ = std::vector<float>(3 * kN * kK, -7);
};

TEST_P(WrongGroupSizes, AreRefusedBeforeAnythingIsWritten) {
  Serial serial;
  const std::vector<int32_t>& sizes = GetParam();
  for (bool transposed : {false, true}) {
    const GroupedMatmul g{DType::kF32, x_.data(), w_.data(), y_.data(), sizes, kRows, kN, kK, transposed};
    EXPECT_THROW(cpu::grouped_matmul(g, serial), std::invalid_argument);
    EXPECT_THROW(ref::grouped_matmul(g), std::invalid_argument);
  }
  const GroupedOuter g{DType::kF32, x_.data(), x_.data(), outer_.data(), sizes, kRows, kN, kK};
  EXPECT_THROW(cpu::grouped_outer(g, serial), std::invalid_argument);
  EXPECT_THROW(ref::grouped_outer(g), std::invalid_argument);
  EXPECT_EQ(y_, std::vector<float>(y_.size(), -7));
  EXPECT_EQ(outer_, std::vector<float>(outer_.size(), -7));
}

// One row too many; sums beyond 32 bits; a negative size that would make up for it.
INSTANTIATE_TEST_SUITE_P(TooManyRows, WrongGroupSizes,
                         testing::Values(std::vector<int32_t>{4, 3, 2},
                                         std::vector<int32_t>{2147483647, 2147483647, 2147483647},
                                         std::vector<int32_t>{9, -1, 0}));

}  // namespace
}  // namespace fathom
