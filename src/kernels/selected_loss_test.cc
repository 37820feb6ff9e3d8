#include "kernels/selected_loss.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"

namespace fathom {
namespace {

// u is not used. `first` + j + 1 keys are there for query j.
struct Case {
  SelectedShape n;
  int64_t g, i, first;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << "rows " << c.n.b << " queries " << c.n.s << " keys " << c.n.t << " heads " << c.n.h << " key " << c.n.w
       << " places " << c.n.n << " indexer heads " << c.g << " of " << c.i << " first " << c.first;
}

// One key and one place; blocks of 64 to 192 queries and more of them than are taken together; one head and many;
// widths that fill no vector; queries that begin later.
const Case kCases[] = {
    {{1, 1, 1, 1, 1, 0, 1}, 1, 1, 0},          {{2, 9, 9, 2, 5, 0, 3}, 3, 4, 0},
    {{1, 150, 150, 1, 33, 0, 1}, 1, 70, 0},    {{2, 210, 210, 3, 12, 0, 40}, 2, 9, 0},
    {{1, 40, 500, 2, 24, 0, 100}, 5, 16, 460}, {{1, 900, 900, 2, 8, 0, 30}, 2, 8, 0},
};

struct Data {
  Case c;
  std::vector<int32_t> keys;
  std::vector<float> q, k, lse, iq, ik, weights, d_kl;
};

struct Results {
  std::vector<float> kl, d_iq, d_ik, d_weights;
  bool operator==(const Results&) const = default;
};

std::vector<float> normal(int64_t count, float scale, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> distribution(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& x : values) x = bf16_to_float(float_to_bf16(distribution(engine)));
  return values;
}

std::vector<int32_t> random_lists(const Case& c) {
  std::mt19937 engine(7);
  std::vector<int32_t> keys;
  for (int64_t row = 0; row < c.n.b * c.n.s; ++row) {
    std::vector<int32_t> list(static_cast<size_t>(c.first + row % c.n.s + 1));
    for (size_t i = 0; i < list.size(); ++i) list[i] = static_cast<int32_t>(i);
    std::shuffle(list.begin(), list.end(), engine);
    list.resize(std::min(list.size(), static_cast<size_t>(c.n.n)));
    std::sort(list.begin(), list.end());
    list.resize(static_cast<size_t>(c.n.n), -1);
    keys.insert(keys.end(), list.begin(), list.end());
  }
  return keys;
}

Data make_data(const Case& c) {
  const SelectedShape& n = c.n;
  Data d{.c = c, .keys = random_lists(c)};
  d.q = normal(n.b * n.s * n.h * n.w, 2 / std::sqrt(static_cast<float>(n.w)), 1);
  d.k = normal(n.b * n.t * n.h * n.w, 1, 2);
  d.iq = normal(n.b * n.s * c.g * c.i, 2 / std::sqrt(static_cast<float>(c.i)), 3);
  d.ik = normal(n.b * n.t * c.i, 1, 4);
  d.weights = normal(n.b * n.s * c.g, 1, 5);
  d.d_kl = normal(n.b * n.s, 1, 6);
  d.lse.resize(static_cast<size_t>(n.b * n.h * n.s));
  // Values of width 1: only the log-sums are wanted.
  SelectedShape one = n;
  one.u = 1;
  const std::vector<float> v(static_cast<size_t>(n.b * n.t * n.h));
  std::vector<float> out(static_cast<size_t>(n.b * n.s * n.h));
  ref::selected_attention(
      {DType::kF32, one, d.q.data(), d.k.data(), v.data(), d.keys.data(), out.data(), d.lse.data()});
  return d;
}

SelectedLoss loss_of(const Data& d) {
  return {.shape = d.c.n,
          .g = d.c.g,
          .i = d.c.i,
          .q = d.q.data(),
          .k = d.k.data(),
          .lse = d.lse.data(),
          .keys = d.keys.data(),
          .iq = d.iq.data(),
          .ik = d.ik.data(),
          .weights = d.weights.data()};
}

Results results_for(const Data& d) {
  return {.kl = std::vector<float>(d.d_kl.size(), NAN),
          .d_iq = std::vector<float>(d.iq.size(), NAN),
          .d_ik = std::vector<float>(d.ik.size(), NAN),
          .d_weights = std::vector<float>(d.weights.size(), NAN)};
}

Results oracle(const Data& d) {
  Results r = results_for(d);
  const SelectedLoss loss = loss_of(d);
  ref::selected_loss(loss, r.kl.data());
  ref::selected_loss_grad({loss, d.d_kl.data(), r.d_iq.data(), r.d_ik.data(), r.d_weights.data()});
  return r;
}

Results run_f32(const Data& d, Parallel& parallel) {
  Results r = results_for(d);
  const SelectedLoss loss = loss_of(d);
  cpu::selected_loss(loss, r.kl.data(), parallel);
  cpu::selected_loss_grad({loss, d.d_kl.data(), r.d_iq.data(), r.d_ik.data(), r.d_weights.data()}, parallel);
  return r;
}

std::vector<uint16_t> to_bf16(const std::vector<float>& x) {
  std::vector<uint16_t> out;
  for (float v : x) out.push_back(float_to_bf16(v));
  return out;
}

std::vector<float> to_f32(const std::vector<uint16_t>& x) {
  std::vector<float> out;
  for (uint16_t v : x) out.push_back(bf16_to_float(v));
  return out;
}

Results run_bf16(const Data& d, Parallel& parallel) {
  Results r = results_for(d);
  const auto q = to_bf16(d.q), k = to_bf16(d.k), iq = to_bf16(d.iq), ik = to_bf16(d.ik);
  std::vector<uint16_t> d_iq(iq.size()), d_ik(ik.size());
  SelectedLoss loss = loss_of(d);
  loss.dtype = DType::kBF16;
  loss.q = q.data();
  loss.k = k.data();
  loss.iq = iq.data();
  loss.ik = ik.data();
  cpu::selected_loss(loss, r.kl.data(), parallel);
  cpu::selected_loss_grad({loss, d.d_kl.data(), d_iq.data(), d_ik.data(), r.d_weights.data()}, parallel);
  r.d_iq = to_f32(d_iq);
  r.d_ik = to_f32(d_ik);
  return r;
}

// `step`: the relative rounding of the results. The absolute part is that of float32 logarithms and exponentials of
// numbers up to some 20, summed up over a list.
void expect_near(const char* what, const std::vector<float>& got, const std::vector<float>& want, double step) {
  ASSERT_EQ(got.size(), want.size());
  double norm = 0;
  for (float x : want) norm = std::max(norm, std::abs(static_cast<double>(x)));
  const double absolute = 1e-5 * std::max(1.0, norm);
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    ASSERT_TRUE(error <= absolute + step * std::abs(static_cast<double>(want[i])))
        << what << " " << i << ": " << got[i] << " instead of " << want[i];
  }
}

void expect_near(const Results& got, const Results& want, double step) {
  expect_near("kl", got.kl, want.kl, 0);
  expect_near("d_iq", got.d_iq, want.d_iq, step);
  expect_near("d_ik", got.d_ik, want.d_ik, step);
  expect_near("d_weights", got.d_weights, want.d_weights, 0);
}

class SelectedLossKernel : public testing::TestWithParam<Case> {};

TEST_P(SelectedLossKernel, EqualsTheOracleInFloat32OnEveryInstructionSet) {
  const Data d = make_data(GetParam());
  const Results want = oracle(d);
  Serial serial;
  on_every_target([&] { expect_near(run_f32(d, serial), want, 1e-5); });
}

TEST_P(SelectedLossKernel, RoundsResultsOnceInBfloat16OnEveryInstructionSet) {
  const Data d = make_data(GetParam());
  const Results want = oracle(d);
  Serial serial;
  on_every_target([&] { expect_near(run_bf16(d, serial), want, 1.0 / 256 + 1e-5); });
}

TEST_P(SelectedLossKernel, GivesTheSameBitsOnAnyNumberOfThreads) {
  const Data d = make_data(GetParam());
  Serial serial;
  Threads three(3);
  const Results one = run_f32(d, serial);
  EXPECT_TRUE(one == run_f32(d, three));
  EXPECT_TRUE(one == run_f32(d, serial));
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, SelectedLossKernel, testing::ValuesIn(kCases));

// The sum of d_kl * kl in the oracle.
double objective(const Data& d) {
  std::vector<float> kl(d.d_kl.size());
  ref::selected_loss(loss_of(d), kl.data());
  double sum = 0;
  for (size_t i = 0; i < kl.size(); ++i) sum += static_cast<double>(kl[i]) * static_cast<double>(d.d_kl[i]);
  return sum;
}

TEST(SelectedLoss, TheOraclesDerivativeIsThatOfItsLoss) {
  Data d = make_data({{1, 6, 6, 2, 4, 0, 4}, 2, 3, 0});
  const Results r = oracle(d);
  const struct {
    std::vector<float>& values;
    const std::vector<float>& derivative;
  } kOperands[] = {{d.iq, r.d_iq}, {d.ik, r.d_ik}, {d.weights, r.d_weights}};
  // The loss is float32: a step that is large beside 2^-24, and small beside the numbers.
  constexpr float kStep = 1.0F / 256;
  for (const auto& operand : kOperands) {
    for (size_t i = 0; i < operand.values.size(); ++i) {
      const float x = operand.values[i];
      operand.values[i] = x + kStep;
      const double above = objective(d);
      operand.values[i] = x - kStep;
      const double below = objective(d);
      operand.values[i] = x;
      EXPECT_NEAR((above - below) / (2.0 * kStep), operand.derivative[i], 1e-3) << i;
    }
  }
}

TEST(SelectedLoss, NanStaysInItsQuery) {
  Data d = make_data({{1, 200, 200, 1, 8, 0, 30}, 2, 8, 0});
  d.q[150 * 8] = NAN;
  Serial serial;
  const Results r = run_f32(d, serial);
  for (size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(std::isnan(r.kl[i]), i == 150) << i;
    EXPECT_EQ(std::isnan(r.d_weights[i * 2]), i == 150) << i;
  }
}

TEST(SelectedLoss, RefusesListsThatAreNotAscendingKeys) {
  Data d = make_data({{1, 4, 10, 1, 4, 0, 3}, 1, 4, 6});
  d.keys[4] = 10;
  Serial serial;
  EXPECT_THROW(run_f32(d, serial), std::invalid_argument);
  Results r = results_for(d);
  EXPECT_THROW(
      cpu::selected_loss_grad({loss_of(d), d.d_kl.data(), r.d_iq.data(), r.d_ik.data(), r.d_weights.data()}, serial),
      std::invalid_argument);
}

}  // namespace
}  // namespace fathom
