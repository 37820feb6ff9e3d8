#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <tuple>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"

namespace fathom {

static void PrintTo(DType dtype, std::ostream* out) { *out << name(dtype); }

namespace {

// An array of either type.
struct Array {
  Array(DType type, int64_t count, uint32_t seed, bool positive = false) : dtype(type) {
    std::mt19937 bits(seed);
    std::normal_distribution<float> normal(0, 1);
    for (int64_t i = 0; i < count; ++i) {
      const float x = positive ? std::abs(normal(bits)) : normal(bits);
      f32.push_back(x);
      bf16.push_back(float_to_bf16(x));
    }
  }
  void* data() { return dtype == DType::kF32 ? static_cast<void*>(f32.data()) : static_cast<void*>(bf16.data()); }
  float at(int64_t i) const {
    const auto n = static_cast<size_t>(i);
    return dtype == DType::kF32 ? f32[n] : bf16_to_float(bf16[n]);
  }
  bool operator==(const Array&) const = default;

  DType dtype;
  std::vector<float> f32;
  std::vector<uint16_t> bf16;
};

struct Types {
  DType gradient = DType::kF32, parameter = DType::kF32, mu = DType::kF32;
};

struct State {
  State(const Types& t, int64_t n)
      : count(n),
        gradient(t.gradient, n, 1),
        parameter(t.parameter, n, 2),
        mu(t.mu, n, 3),
        nu(t.parameter, n, 4, true) {}
  AdamWStep step() {
    return {.count = count,
            .gradient_dtype = gradient.dtype,
            .parameter_dtype = parameter.dtype,
            .mu_dtype = mu.dtype,
            .gradient = gradient.data(),
            .parameter = parameter.data(),
            .mu = mu.data(),
            .nu = nu.data(),
            .rate = 0.01F,
            .mu_scale = 1.2F,
            .nu_scale = 1.1F,
            .clip = 0.7F,
            .b1 = 0.9,
            .b2 = 0.95,
            .eps = 1e-8,
            .eps_root = 1e-6,
            .weight_decay = 0.1};
  }
  bool operator==(const State&) const = default;

  int64_t count;
  Array gradient, parameter, mu, nu;
};

// A few roundings of float32 of numbers about 1; one step of bfloat16 where that lay at a rounding border.
void expect_near(const Array& got, const Array& want, int64_t count) {
  const float limit = want.dtype == DType::kF32 ? 5e-7F : 1.0F / 128;
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_LE(std::abs(got.at(i) - want.at(i)), limit * (std::abs(want.at(i)) + 0.1F)) << i;
  }
}

// One element, less than a vector, no multiple of one, one block of the kernel (32768) and some elements more.
constexpr int64_t kCounts[] = {1, 3, 17, 1000, 32768, 70001};
constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

class AdamWKernel : public testing::TestWithParam<std::tuple<DType, DType, DType>> {
 protected:
  Types types() const { return {std::get<0>(GetParam()), std::get<1>(GetParam()), std::get<2>(GetParam())}; }
};

TEST_P(AdamWKernel, EqualsTheOracleOnEveryInstructionSet) {
  Serial serial;
  for (int64_t count : kCounts) {
    SCOPED_TRACE(count);
    State want(types(), count);
    ref::adamw(want.step());
    on_every_target([&] {
      State got(types(), count);
      const float squares = cpu::adamw(got.step(), serial);
      expect_near(got.parameter, want.parameter, count);
      expect_near(got.mu, want.mu, count);
      expect_near(got.nu, want.nu, count);
      EXPECT_EQ(got.gradient, want.gradient);
      // Of what is stored, whatever it was rounded to.
      const float stored = ref::sum_of_squares(got.parameter.dtype, got.parameter.data(), count);
      EXPECT_NEAR(squares, stored, 1e-6F * stored);
    });
  }
}

TEST_P(AdamWKernel, GivesTheSameBitsOnAnyNumberOfThreads) {
  Serial serial;
  Threads three(3), five(5);
  State one(types(), 200001), some(types(), 200001), more(types(), 200001);
  const float squares = cpu::adamw(one.step(), serial);
  EXPECT_EQ(squares, cpu::adamw(some.step(), three));
  EXPECT_EQ(squares, cpu::adamw(more.step(), five));
  EXPECT_EQ(one, some);
  EXPECT_EQ(one, more);
}

INSTANTIATE_TEST_SUITE_P(Types, AdamWKernel,
                         testing::Combine(testing::ValuesIn(kTypes), testing::ValuesIn(kTypes),
                                          testing::ValuesIn(kTypes)),
                         [](const auto& info) {
                           return std::string("gradient_") + std::string(name(std::get<0>(info.param))) +
                                  "_parameter_" + std::string(name(std::get<1>(info.param))) + "_mu_" +
                                  std::string(name(std::get<2>(info.param)));
                         });

TEST(AdamWEdges, ABrokenGradientStaysInItsPlace) {
  Serial serial;
  State s({}, 100);
  s.gradient.f32[97] = NAN;
  EXPECT_TRUE(std::isnan(cpu::adamw(s.step(), serial)));
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(std::isnan(s.parameter.at(i)), i == 97) << i;
}

// 0 / (sqrt(0) + 0) of the places behind the array's end must not reach the sum.
TEST(AdamWEdges, WithoutEpsilonTheEndOfTheArrayAddsNothing) {
  Serial serial;
  State s({}, 5);
  AdamWStep step = s.step();
  step.eps = 0;
  step.eps_root = 0;
  EXPECT_TRUE(std::isfinite(cpu::adamw(step, serial)));
}

TEST(SumOfSquaresKernel, EqualsTheOracleWithTheSameBitsOnAnyNumberOfThreads) {
  Serial serial;
  Threads three(3);
  for (DType dtype : kTypes) {
    for (int64_t count : kCounts) {
      Array x(dtype, count, 5);
      const float want = ref::sum_of_squares(dtype, x.data(), count);
      on_every_target([&] {
        const float got = cpu::sum_of_squares(dtype, x.data(), count, serial);
        EXPECT_NEAR(got, want, 1e-6F * want) << count;
        EXPECT_EQ(got, cpu::sum_of_squares(dtype, x.data(), count, three)) << count;
      });
    }
  }
}

}  // namespace
}  // namespace fathom
