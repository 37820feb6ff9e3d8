#include "kernels/cpu/gemm.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "base/bf16.h"

namespace fathom::cpu {
namespace {

// Numbers in [-1, 1] that bfloat16 holds exactly, in memory of either type.
struct Matrix {
  Matrix(DType dtype, int64_t rows, int64_t columns, bool transposed, uint32_t seed)
      : values(static_cast<size_t>(rows * columns)) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& x : values) x = bf16_to_float(float_to_bf16(uniform(engine)));
    for (float x : values) halves.push_back(float_to_bf16(x));
    const void* data = dtype == DType::kF32 ? static_cast<const void*>(values.data()) : halves.data();
    view = transposed ? Strided{data, dtype, 1, rows} : Strided{data, dtype, columns, 1};
  }
  double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * view.row + j * view.column)]; }

  std::vector<float> values;
  std::vector<uint16_t> halves;
  Strided view;
};

struct Sizes {
  int64_t m, n, k;
};
void PrintTo(const Sizes& s, std::ostream* out) { *out << "m " << s.m << " n " << s.n << " k " << s.k; }

// Around the borders of strips, panels, blocks of k and blocks of the shared caches; odd depths for the pairs.
const Sizes kSizes[] = {{1, 1, 1},     {3, 17, 2},    {12, 32, 16},  {13, 33, 511},  {47, 31, 513},
                        {100, 300, 7}, {5, 2050, 40}, {2060, 9, 33}, {64, 64, 1030}, {25, 40, 1025}};

class Runners : public Parallel {
 public:
  explicit Runners(int64_t count) : count_(count) {}
  // Backwards, so that an order that matters shows.
  void run(int64_t count, const std::function<void(int64_t)>& task) override {
    std::vector<std::jthread> threads;
    for (int64_t t = 0; t < count_; ++t) {
      threads.emplace_back([&, t] {
        for (int64_t i = count - 1 - t; i >= 0; i -= count_) task(i);
      });
    }
  }

 private:
  int64_t count_;
};

struct Form {
  DType a, b, c;
  bool a_transposed, b_transposed;
};

std::vector<Form> forms() {
  std::vector<Form> out;
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (bool a : {false, true}) {
      for (bool b : {false, true}) out.push_back({dtype, dtype, dtype, a, b});
    }
  }
  out.push_back({DType::kF32, DType::kBF16, DType::kF32, false, true});
  out.push_back({DType::kBF16, DType::kF32, DType::kF32, false, false});
  out.push_back({DType::kBF16, DType::kBF16, DType::kF32, true, false});
  return out;
}

std::vector<float> product(const Form& f, const Sizes& s, Parallel& parallel) {
  Matrix a(f.a, s.m, s.k, f.a_transposed, 1), b(f.b, s.k, s.n, f.b_transposed, 2);
  const int64_t row = s.n + 3;  // what lies between the rows stays as it is
  std::vector<float> c(static_cast<size_t>(s.m * row), -7.0f);
  std::vector<uint16_t> halves(c.size(), float_to_bf16(-7.0f));
  void* data = f.c == DType::kF32 ? static_cast<void*>(c.data()) : halves.data();
  gemm({.m = s.m, .n = s.n, .k = s.k, .a = a.view, .b = b.view, .c = data, .c_dtype = f.c, .c_row = row}, parallel);
  for (size_t i = 0; f.c == DType::kBF16 && i < c.size(); ++i) c[i] = bf16_to_float(halves[i]);
  return c;
}

class GemmSizes : public testing::TestWithParam<Sizes> {};

// The instruction sets of this machine that the kernels are built for, one after another.
class EachInstructionSet {
 public:
  ~EachInstructionSet() { hwy::SetSupportedTargetsForTest(0); }
  bool next() {
    if (left_ == 0) return false;
    const auto lowest = left_ & -left_;
    hwy::SetSupportedTargetsForTest(lowest);
    left_ ^= lowest;
    return true;
  }

 private:
  decltype(hwy::SupportedTargets()) left_ = hwy::SupportedTargets() & HWY_TARGETS;
};

void expect_sums(const Sizes& s) {
  Serial serial;
  for (const Form& f : forms()) {
    std::vector<float> got = product(f, s, serial);
    Matrix a(f.a, s.m, s.k, f.a_transposed, 1), b(f.b, s.k, s.n, f.b_transposed, 2);
    const int64_t row = s.n + 3;
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < row; ++j) {
        double want = 0, size = 0;
        for (int64_t k = 0; j < s.n && k < s.k; ++k) {
          want += a.at(i, k) * b.at(k, j);
          size += std::abs(a.at(i, k) * b.at(k, j));
        }
        if (j >= s.n) want = -7;
        // Half an ulp of float32 for each partial sum, and of bfloat16 for the result.
        double limit = 6e-8 * static_cast<double>(s.k) * size + (f.c == DType::kBF16 ? std::abs(want) / 256 : 0);
        double value = got[static_cast<size_t>(i * row + j)];
        ASSERT_TRUE(std::abs(value - want) <= limit) << i << ", " << j << ": " << value << " instead of " << want;
      }
    }
  }
}

TEST_P(GemmSizes, EqualsTheSumInDoubleForEveryLayoutTypeAndInstructionSet) {
  for (EachInstructionSet set; set.next();) expect_sums(GetParam());
}

TEST_P(GemmSizes, GivesTheSameBitsOnAnyNumberOfThreads) {
  const Sizes& s = GetParam();
  for (const Form& f : forms()) {
    Serial serial;
    std::vector<float> one = product(f, s, serial);
    Runners three(3);
    std::vector<float> many = product(f, s, three);
    EXPECT_EQ(std::memcmp(one.data(), many.data(), one.size() * sizeof(float)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, GemmSizes, testing::ValuesIn(kSizes));

TEST(Gemm, AnEmptySumIsZero) {
  std::vector<float> c(6, 5.0f);
  gemm({.m = 2, .n = 2, .k = 0, .c = c.data(), .c_row = 3});
  EXPECT_EQ(c, (std::vector<float>{0, 0, 5, 0, 0, 5}));
}

TEST(Gemm, NanAndInfinityComeThrough) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    Matrix a(dtype, 3, 40, false, 1), b(dtype, 40, 35, true, 2);
    a.values[0] = NAN;
    a.values[40] = INFINITY;
    a.halves[0] = float_to_bf16(NAN);
    a.halves[40] = float_to_bf16(INFINITY);
    std::vector<float> c(3 * 35);
    gemm({.m = 3, .n = 35, .k = 40, .a = a.view, .b = b.view, .c = c.data(), .c_row = 35});
    EXPECT_TRUE(std::isnan(c[34]));
    EXPECT_TRUE(std::isinf(c[35 + 34]));
    EXPECT_TRUE(std::isfinite(c[70 + 34]));
  }
}

}  // namespace
}  // namespace fathom::cpu
