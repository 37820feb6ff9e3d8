#include "convert/checked_copy.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/host_array.h"

namespace fathom {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};

HostArray numbers(const std::vector<double>& values, DType dtype) {
  HostArray wide = HostArray::allocate(DType::kF64, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), wide.mutable_view<double>().begin());
  return convert(wide, dtype);
}

// Numbers on both sides of ties, zeros of both signs, subnormals of half, and more than a few blocks of them.
std::vector<double> some_numbers() {
  std::vector<double> out = {0,       -0.0,     1,     -1,   1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-8 + 0x1p-20,
                             0x1p-24, -0x3p-24, 60000, 3e-30};
  for (int i = 0; i < 300; ++i) out.push_back(std::sin(i) * std::exp2(i % 30 - 15));
  return out;
}

TEST(CheckedCopy, GivesTheNumbersOfConvert) {
  for (DType from : kTypes) {
    for (DType to : kTypes) {
      const HostArray source = numbers(some_numbers(), from);
      const HostArray expected = convert(source, to);
      HostArray target = HostArray::allocate(to, source.sizes());
      EXPECT_TRUE(copy_checked(from, source.data(), to, target.mutable_data(), source.elements()));
      EXPECT_EQ(std::memcmp(target.data(), expected.data(), static_cast<size_t>(target.bytes())), 0)
          << name(from) << " " << name(to);
    }
  }
}

TEST(CheckedCopy, FindsANumberThatIsNotFiniteWhereverItStands) {
  const double kInf = std::numeric_limits<double>::infinity();
  for (DType from : kTypes) {
    for (DType to : kTypes) {
      for (double bad : {kInf, -kInf, std::nan("")}) {
        for (size_t place : {size_t{0}, size_t{63}, size_t{64}, size_t{130}, size_t{199}}) {
          std::vector<double> values(200, -1.5);
          values[place] = bad;
          const HostArray source = numbers(values, from);
          HostArray target = HostArray::allocate(to, source.sizes());
          EXPECT_FALSE(copy_checked(from, source.data(), to, target.mutable_data(), 200)) << name(from) << name(to);
          EXPECT_FALSE(all_finite(from, source.data(), 200)) << name(from);
          EXPECT_TRUE(all_finite(from, source.data(), static_cast<int64_t>(place)));
        }
      }
    }
  }
}

// The largest float is finite, but the nearest bfloat16 is infinite.
TEST(CheckedCopy, FindsANumberTooLargeForTheNewType) {
  HostArray target = HostArray::allocate(DType::kBF16, {1});
  const HostArray largest = numbers({std::numeric_limits<float>::max()}, DType::kF32);
  EXPECT_TRUE(all_finite(DType::kF32, largest.data(), 1));
  EXPECT_FALSE(copy_checked(DType::kF32, largest.data(), DType::kBF16, target.mutable_data(), 1));
  // A NaN whose rounding would carry into the sign.
  HostArray nan = HostArray::allocate(DType::kF32, {1});
  nan.mutable_view<uint32_t>()[0] = 0x7fffffff;
  EXPECT_FALSE(copy_checked(DType::kF32, nan.data(), DType::kBF16, target.mutable_data(), 1));
}

TEST(CheckedCopy, RefusesTypesThatAreNoWeights) {
  std::byte x[8] = {};
  EXPECT_THROW(copy_checked(DType::kF8E4M3FN, x, DType::kF32, x, 1), std::invalid_argument);
  EXPECT_THROW(all_finite(DType::kS32, x, 1), std::invalid_argument);
}

}  // namespace
}  // namespace fathom
