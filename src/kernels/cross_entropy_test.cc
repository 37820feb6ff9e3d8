#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"

namespace fathom {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Size {
  int64_t rows, vocab;
};
void PrintTo(const Size& s, std::ostream* out) { *out << "rows " << s.rows << " vocabulary " << s.vocab; }

// A single logit, sizes that no vector divides, the pieces of the kernel (2048) and their neighbours.
const Size kSizes[] = {{1, 1}, {3, 3}, {17, 17}, {5, 64}, {2, 2048}, {3, 2049}, {2, 9001}, {40, 5000}};

struct Data {
  Data(DType type, Size n) : dtype(type), size(n), logits(static_cast<size_t>(n.rows * n.vocab)) {
    std::mt19937 bits(7);
    std::normal_distribution<float> normal(0, 5);
    for (float& x : logits) x = bf16_to_float(float_to_bf16(normal(bits)));
    for (int64_t r = 0; r < n.rows; ++r) {
      // The first and the last word, words between, none (before and behind the vocabulary).
      const int64_t words[] = {0, n.vocab - 1, -1, n.vocab / 2, n.vocab};
      targets.push_back(static_cast<int32_t>(words[r % 5]));
      d_log_z.push_back(0.5F + 0.1F * static_cast<float>(r));
      d_chosen.push_back(-1 - 0.1F * static_cast<float>(r));
    }
    log_z.assign(targets.size(), NAN);
    chosen = log_z;
  }

  // What the kernels see: the logits in their type.
  void* array() {
    if (dtype == DType::kF32) return logits.data();
    narrow.clear();
    for (float x : logits) narrow.push_back(float_to_bf16(x));
    return narrow.data();
  }
  CrossEntropy forward() {
    return {dtype, size.rows, size.vocab, array(), targets.data(), log_z.data(), chosen.data()};
  }
  // In place; `result` has the derivative.
  template <typename Run>
  void backward(const Run& run) {
    void* at = array();
    run(CrossEntropyGrad{dtype, size.rows, size.vocab, at, targets.data(), log_z.data(), d_log_z.data(),
                         d_chosen.data(), at});
    result = logits;
    if (dtype == DType::kF32) return;
    for (size_t i = 0; i < narrow.size(); ++i) result[i] = bf16_to_float(narrow[i]);
  }

  DType dtype;
  Size size;
  std::vector<float> logits, log_z, chosen, d_log_z, d_chosen, result;
  std::vector<uint16_t> narrow;
  std::vector<int32_t> targets;
};

void run_kernels(Data& d, Parallel& parallel) {
  cpu::cross_entropy(d.forward(), parallel);
  d.backward([&](const CrossEntropyGrad& g) { cpu::cross_entropy_grad(g, parallel); });
}

class CrossEntropyKernel : public testing::TestWithParam<Size> {};

void expect_near(const Data& got, const Data& want) {
  for (size_t r = 0; r < want.log_z.size(); ++r) {
    // Exponentials with 2e-7 each, in float32 sums of up to 1024 whose errors have both signs.
    EXPECT_NEAR(got.log_z[r], want.log_z[r], 2e-6 + 1e-7 * std::abs(want.log_z[r])) << r;
    EXPECT_EQ(got.chosen[r], want.chosen[r]) << r;
  }
  // The exponent's error: log_z of about 20 may differ by an ulp (1.9e-6), the difference of up to 40 is rounded (half
  // of 3.8e-6), and the exponential has 2e-7. One step of bfloat16 (2^-8) where the float32 number lay at a rounding
  // border.
  const float limit = want.dtype == DType::kF32 ? 4e-6F : 1.0F / 128;
  for (size_t i = 0; i < want.result.size(); ++i) {
    ASSERT_LE(std::abs(got.result[i] - want.result[i]), limit * (std::abs(want.result[i]) + 1e-6F)) << i;
  }
}

TEST_P(CrossEntropyKernel, EqualsTheOracleOnEveryInstructionSet) {
  Serial serial;
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    Data want(dtype, GetParam());
    ref::cross_entropy(want.forward());
    want.backward(ref::cross_entropy_grad);
    on_every_target([&] {
      Data got(dtype, GetParam());
      run_kernels(got, serial);
      expect_near(got, want);
    });
  }
}

TEST_P(CrossEntropyKernel, GivesTheSameBitsOnAnyNumberOfThreads) {
  Serial serial;
  Threads three(3), five(5);
  Data one(DType::kF32, GetParam()), some(DType::kF32, GetParam()), more(DType::kF32, GetParam());
  run_kernels(one, serial);
  run_kernels(some, three);
  run_kernels(more, five);
  EXPECT_EQ(one.log_z, some.log_z);
  EXPECT_EQ(one.log_z, more.log_z);
  EXPECT_EQ(one.result, some.result);
  EXPECT_EQ(one.result, more.result);
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, CrossEntropyKernel, testing::ValuesIn(kSizes), [](const auto& info) {
  return std::to_string(info.param.rows) + "x" + std::to_string(info.param.vocab);
});

float log_z_of(std::vector<float> row) {
  float log_z = 0, chosen = 0;
  int32_t target = 0;
  Serial serial;
  cpu::cross_entropy({DType::kF32, 1, static_cast<int64_t>(row.size()), row.data(), &target, &log_z, &chosen}, serial);
  return log_z;
}

TEST(CrossEntropyEdges, ABrokenLogitIsNotHidden) {
  for (size_t at : {size_t{0}, size_t{5}, size_t{40}, size_t{4200}}) {
    std::vector<float> row(4203, 1);
    row[at] = NAN;
    EXPECT_TRUE(std::isnan(log_z_of(row))) << at;
    row[at] = kInf;
    EXPECT_EQ(log_z_of(row), kInf) << at;
  }
}

TEST(CrossEntropyEdges, MaskedLogitsCountForNothing) {
  std::vector<float> row(50, -kInf);
  EXPECT_EQ(log_z_of(row), -kInf);
  row[33] = 2.5F;
  EXPECT_EQ(log_z_of(row), 2.5F);
}

TEST(CrossEntropyEdges, LargeLogitsDoNotOverflow) {
  EXPECT_EQ(log_z_of(std::vector<float>(16, 3e38F)), 3e38F);
  EXPECT_NEAR(log_z_of(std::vector<float>(16, -200)), -200 + std::log(16.0F), 1e-4);
}

}  // namespace
}  // namespace fathom
