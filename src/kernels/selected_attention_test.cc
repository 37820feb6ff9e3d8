#include "kernels/selected_attention.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/bf16.h"
#include "kernels/attention.h"
#include "kernels/kernel_testing.h"

namespace fathom {
namespace {

// n keys of t at most, at random; `first` + j + 1 keys are there for query j.
struct Case {
  SelectedShape n;
  int64_t first;
};
void PrintTo(const Case& c, std::ostream* out) {
  const SelectedShape& n = c.n;
  *out << "rows " << n.b << " queries " << n.s << " keys " << n.t << " heads " << n.h << " key " << n.w << " value "
       << n.u << " places " << n.n << " first " << c.first;
}

// One key; lists of one place, of as many places as keys and in between; lengths around blocks (96 or 192), one head
// and many, widths below, at and beyond a stripe (16 to 64 columns), equal and not; queries that begin later.
const Case kCases[] = {
    {{1, 1, 1, 1, 1, 1, 1}, 0},         {{2, 5, 5, 3, 7, 4, 2}, 0},         {{1, 33, 33, 2, 96, 64, 33}, 0},
    {{3, 64, 64, 1, 12, 33, 1}, 0},     {{1, 193, 193, 2, 13, 40, 50}, 0},  {{2, 300, 300, 2, 5, 70, 17}, 0},
    {{1, 400, 400, 3, 32, 32, 390}, 0}, {{2, 31, 500, 2, 40, 24, 64}, 469}, {{1, 200, 700, 2, 130, 66, 128}, 300},
    {{3, 100, 120, 12, 8, 8, 30}, 20},
};

struct Data {
  SelectedShape n;
  std::vector<int32_t> keys;
  std::vector<float> q, k, v, d_out, lse, delta;
  std::vector<float> out, d_q, d_k, d_v;
};

std::vector<float> normal(int64_t count, float scale, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> distribution(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& x : values) x = bf16_to_float(float_to_bf16(distribution(engine)));
  return values;
}

// For query j a random choice of the first + j + 1 keys that are there, as many as there are places; every fifth query
// chooses one key alone.
std::vector<int32_t> random_lists(const Case& c) {
  std::mt19937 engine(7);
  std::vector<int32_t> keys;
  for (int64_t row = 0; row < c.n.b * c.n.s; ++row) {
    std::vector<int32_t> list(static_cast<size_t>(c.first + row % c.n.s + 1));
    for (size_t i = 0; i < list.size(); ++i) list[i] = static_cast<int32_t>(i);
    std::shuffle(list.begin(), list.end(), engine);
    list.resize(std::min(list.size(), row % 5 == 4 ? 1 : static_cast<size_t>(c.n.n)));
    std::sort(list.begin(), list.end());
    list.resize(static_cast<size_t>(c.n.n), -1);
    keys.insert(keys.end(), list.begin(), list.end());
  }
  return keys;
}

std::vector<float> delta_of(const Data& d) {
  const SelectedShape& n = d.n;
  std::vector<float> delta(d.lse.size());
  for (int64_t i = 0; i < n.b * n.s * n.h; ++i) {
    double sum = 0;
    for (auto x = static_cast<size_t>(i * n.u); x < static_cast<size_t>((i + 1) * n.u); ++x) {
      sum += static_cast<double>(d.d_out[x]) * static_cast<double>(d.out[x]);
    }
    // [b, s, h] to [b, h, s]
    const int64_t batch = i / (n.s * n.h), token = i / n.h % n.s, head = i % n.h;
    delta[static_cast<size_t>((batch * n.h + head) * n.s + token)] = static_cast<float>(sum);
  }
  return delta;
}

// Inputs and the oracle's results. Scores have a deviation of `spread`.
Data make_data(const Case& c, float spread = 2) {
  const SelectedShape& n = c.n;
  Data d{.n = n, .keys = random_lists(c)};
  d.q = normal(n.b * n.s * n.h * n.w, spread / std::sqrt(static_cast<float>(n.w)), 1);
  d.k = normal(n.b * n.t * n.h * n.w, 1, 2);
  d.v = normal(n.b * n.t * n.h * n.u, 1, 3);
  d.d_out = normal(n.b * n.s * n.h * n.u, 1, 4);
  d.out.resize(d.d_out.size());
  d.lse.resize(static_cast<size_t>(n.b * n.h * n.s));
  d.d_q.resize(d.q.size());
  d.d_k.resize(d.k.size());
  d.d_v.resize(d.v.size());
  ref::selected_attention(
      {DType::kF32, n, d.q.data(), d.k.data(), d.v.data(), d.keys.data(), d.out.data(), d.lse.data()});
  d.delta = delta_of(d);
  ref::selected_attention_grad({DType::kF32, n, d.q.data(), d.k.data(), d.v.data(), d.keys.data(), d.lse.data(),
                                d.d_out.data(), d.delta.data(), d.d_q.data(), d.d_k.data(), d.d_v.data()});
  return d;
}

struct Results {
  std::vector<float> out, lse, d_q, d_k, d_v;
  bool operator==(const Results&) const = default;
};

Results run_f32(const Data& d, Parallel& parallel) {
  Results r{.out = std::vector<float>(d.out.size(), NAN),
            .lse = std::vector<float>(d.lse.size(), NAN),
            .d_q = std::vector<float>(d.q.size(), NAN),
            .d_k = std::vector<float>(d.k.size(), NAN),
            .d_v = std::vector<float>(d.v.size(), NAN)};
  cpu::selected_attention(
      {DType::kF32, d.n, d.q.data(), d.k.data(), d.v.data(), d.keys.data(), r.out.data(), r.lse.data()}, parallel);
  cpu::selected_attention_grad({DType::kF32, d.n, d.q.data(), d.k.data(), d.v.data(), d.keys.data(), d.lse.data(),
                                d.d_out.data(), d.delta.data(), r.d_q.data(), r.d_k.data(), r.d_v.data()},
                               parallel);
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
  auto q = to_bf16(d.q), k = to_bf16(d.k), v = to_bf16(d.v), d_out = to_bf16(d.d_out);
  std::vector<uint16_t> out(d_out.size()), d_q(q.size()), d_k(k.size()), d_v(v.size());
  Results r{.lse = std::vector<float>(d.lse.size(), NAN)};
  cpu::selected_attention({DType::kBF16, d.n, q.data(), k.data(), v.data(), d.keys.data(), out.data(), r.lse.data()},
                          parallel);
  cpu::selected_attention_grad({DType::kBF16, d.n, q.data(), k.data(), v.data(), d.keys.data(), d.lse.data(),
                                d_out.data(), d.delta.data(), d_q.data(), d_k.data(), d_v.data()},
                               parallel);
  r.out = to_f32(out);
  r.d_q = to_f32(d_q);
  r.d_k = to_f32(d_k);
  r.d_v = to_f32(d_v);
  return r;
}

// As for attention (attention_test.cc): `step` is the relative rounding of the results, the absolute part grows with
// the magnitude of what is summed up.
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

void expect_near(const Results& got, const Data& want, double step) {
  expect_near("out", got.out, want.out, step);
  expect_near("lse", got.lse, want.lse, 0);
  expect_near("d_q", got.d_q, want.d_q, step);
  expect_near("d_k", got.d_k, want.d_k, step);
  expect_near("d_v", got.d_v, want.d_v, step);
}

class SelectedAttentionKernel : public testing::TestWithParam<Case> {};

TEST_P(SelectedAttentionKernel, EqualsTheOracleInFloat32OnEveryInstructionSet) {
  const Data d = make_data(GetParam());
  Serial serial;
  on_every_target([&] { expect_near(run_f32(d, serial), d, 1e-5); });
}

TEST_P(SelectedAttentionKernel, RoundsResultsOnceInBfloat16OnEveryInstructionSet) {
  const Data d = make_data(GetParam());
  Serial serial;
  on_every_target([&] { expect_near(run_bf16(d, serial), d, 1.0 / 256 + 1e-5); });
}

TEST_P(SelectedAttentionKernel, GivesTheSameBitsOnAnyNumberOfThreads) {
  const Data d = make_data(GetParam());
  Serial serial;
  Threads three(3);
  const Results one = run_f32(d, serial);
  EXPECT_TRUE(one == run_f32(d, three));
  EXPECT_TRUE(one == run_f32(d, serial));
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, SelectedAttentionKernel, testing::ValuesIn(kCases));

TEST(SelectedAttention, OfAllKeysIsCausalAttention) {
  const Data d = make_data({{1, 250, 250, 2, 24, 16, 250}, 0});
  // Lists of all keys, but for every fifth query.
  const std::vector<int32_t> segments(250, 1);
  std::vector<float> out(d.out.size()), lse(d.lse.size());
  ref::attention(
      {DType::kF32, {1, 250, 2, 24, 16}, d.q.data(), d.k.data(), d.v.data(), segments.data(), out.data(), lse.data()});
  Serial serial;
  const Results r = run_f32(d, serial);
  for (size_t i = 0; i < 250; ++i) {
    if (i % 5 == 4) continue;
    for (size_t x = i * 32; x < (i + 1) * 32; ++x) EXPECT_NEAR(r.out[x], out[x], 1e-5);
    EXPECT_NEAR(r.lse[i], lse[i], 1e-5);
  }
}

TEST(SelectedAttention, LargeScoresNeitherOverflowNorVanish) {
  // Scores of some hundreds, most lists of negative ones too: only differences to a row's maximum may be exponentiated.
  const Data d = make_data({{1, 300, 300, 1, 16, 8, 3}, 0}, 200);
  Serial serial;
  const Results r = run_f32(d, serial);
  // Scores of 1,000 are rounded at 6e-5, which is the relative error of their exponentials.
  expect_near("out", r.out, d.out, 1e-3);
  expect_near("lse", r.lse, d.lse, 1e-6);
}

TEST(SelectedAttention, NanInAQueryStaysInItsRowAndIsNotHidden) {
  Data d = make_data({{1, 200, 200, 1, 8, 4, 30}, 0});
  d.q[150 * 8 + 3] = NAN;
  Serial serial;
  const Results r = run_f32(d, serial);
  for (size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(std::isnan(r.out[i * 4]), i == 150) << i;
    EXPECT_EQ(std::isnan(r.d_q[i * 8]), i == 150) << i;
  }
}

TEST(SelectedAttention, NanInAKeyReachesTheQueriesThatChooseIt) {
  Data d = make_data({{1, 200, 200, 1, 8, 4, 30}, 0});
  d.k[130 * 8] = NAN;
  Serial serial;
  const Results r = run_f32(d, serial);
  for (size_t i = 0; i < 200; ++i) {
    const auto list = d.keys.begin() + static_cast<int64_t>(i) * 30;
    EXPECT_EQ(std::isnan(r.out[i * 4]), std::find(list, list + 30, 130) != list + 30) << i;
  }
}

TEST(SelectedAttention, RefusesListsThatAreNotAscendingKeys) {
  const Case c{{1, 4, 10, 1, 4, 4, 3}, 6};
  const std::vector<std::vector<int32_t>> lists = {{-1, -1, -1}, {3, 3, 4},   {4, 3, -1}, {3, 10, -1},
                                                   {3, -2, -1},  {-1, 3, -1}, {3, -1, 4}, {-3, 1, 2}};
  Serial serial;
  for (const auto& list : lists) {
    Data d = make_data(c);
    std::copy(list.begin(), list.end(), d.keys.begin() + 6);
    EXPECT_THROW(run_f32(d, serial), std::invalid_argument) << testing::PrintToString(list);
    EXPECT_THROW(
        cpu::selected_attention_grad({DType::kF32, d.n, d.q.data(), d.k.data(), d.v.data(), d.keys.data(), d.lse.data(),
                                      d.d_out.data(), d.delta.data(), d.d_q.data(), d.d_k.data(), d.d_v.data()},
                                     serial),
        std::invalid_argument);
  }
}

}  // namespace
}  // namespace fathom
