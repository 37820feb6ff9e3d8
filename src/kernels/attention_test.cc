#include "kernels/attention.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"

namespace fathom {
namespace {

struct Case {
  AttentionShape n;
  // Lengths of each row's segments, numbered from 1; what is left of a row is padding (segment 0).
  std::vector<std::vector<int64_t>> segments;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << "rows " << c.n.b << " length " << c.n.s << " heads " << c.n.h << " key " << c.n.w << " value " << c.n.u
       << " segments " << testing::PrintToString(c.segments);
}

// One token; lengths around panels (8 to 32 queries), groups (64), blocks of keys (120) and chunks (256); rows whose
// segments end inside all of these; padding; widths below, at and beyond a tile, equal and not; few heads and many.
const Case kCases[] = {
    {{1, 1, 1, 1, 1}, {{1}}},
    {{2, 5, 3, 7, 4}, {{2, 2}, {}}},
    {{1, 33, 2, 96, 64}, {{33}}},
    {{3, 64, 1, 12, 33}, {{64}, {1, 62}, {20, 20, 20}}},
    {{2, 121, 2, 13, 40}, {{121}, {7, 100}}},
    {{1, 257, 1, 24, 16}, {{100, 1, 119}}},
    {{2, 300, 2, 5, 70}, {{250}, {120, 120, 60}}},
    {{1, 777, 3, 32, 32}, {{777}}},
    {{1, 520, 2, 40, 24}, {{130, 255, 130}}},
    {{4, 130, 9, 8, 8}, {{130}, {}, {65, 65}, {129}}},
};

// Everything in float32, as the oracle is given it; bfloat16 copies are exact.
struct Data {
  AttentionShape n;
  std::vector<int32_t> segments;
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

std::vector<int32_t> segment_ids(const Case& c) {
  std::vector<int32_t> ids;
  for (const auto& row : c.segments) {
    size_t end = ids.size() + static_cast<size_t>(c.n.s);
    for (size_t i = 0; i < row.size(); ++i) {
      ids.insert(ids.end(), static_cast<size_t>(row[i]), static_cast<int32_t>(i + 1));
    }
    ids.resize(end, 0);
  }
  return ids;
}

// Inputs and the oracle's results. Scores have a deviation of `spread`.
Data make_data(const Case& c, float spread = 2) {
  const AttentionShape& n = c.n;
  const int64_t rows = n.b * n.s * n.h;
  Data d{.n = n, .segments = segment_ids(c)};
  d.q = normal(rows * n.w, spread / std::sqrt(static_cast<float>(n.w)), 1);
  d.k = normal(rows * n.w, 1, 2);
  d.v = normal(rows * n.u, 1, 3);
  d.d_out = normal(rows * n.u, 1, 4);
  d.out.resize(d.v.size());
  d.lse.resize(static_cast<size_t>(rows));
  d.delta.resize(static_cast<size_t>(rows));
  ref::attention({DType::kF32, n, d.q.data(), d.k.data(), d.v.data(), d.segments.data(), d.out.data(), d.lse.data()});
  for (int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (int64_t x = i * n.u; x < (i + 1) * n.u; ++x) {
      sum += static_cast<double>(d.d_out[static_cast<size_t>(x)]) * static_cast<double>(d.out[static_cast<size_t>(x)]);
    }
    // [b, s, h] to [b, h, s]
    const int64_t batch = i / (n.s * n.h), token = i / n.h % n.s, head = i % n.h;
    d.delta[static_cast<size_t>((batch * n.h + head) * n.s + token)] = static_cast<float>(sum);
  }
  d.d_q.resize(d.q.size());
  d.d_k.resize(d.k.size());
  d.d_v.resize(d.v.size());
  ref::attention_grad({DType::kF32, n, d.q.data(), d.k.data(), d.v.data(), d.segments.data(), d.lse.data(),
                       d.d_out.data(), d.delta.data(), d.d_q.data(), d.d_k.data(), d.d_v.data()});
  return d;
}

struct Results {
  std::vector<float> out, lse, d_q, d_k, d_v;
  bool operator==(const Results&) const = default;
};

Results run_f32(const Data& d, Parallel& parallel) {
  Results r{.out = std::vector<float>(d.v.size(), NAN),
            .lse = std::vector<float>(d.lse.size(), NAN),
            .d_q = std::vector<float>(d.q.size(), NAN),
            .d_k = std::vector<float>(d.k.size(), NAN),
            .d_v = std::vector<float>(d.v.size(), NAN)};
  cpu::attention({DType::kF32, d.n, d.q.data(), d.k.data(), d.v.data(), d.segments.data(), r.out.data(), r.lse.data()},
                 parallel);
  cpu::attention_grad({DType::kF32, d.n, d.q.data(), d.k.data(), d.v.data(), d.segments.data(), d.lse.data(),
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
  std::vector<uint16_t> out(v.size()), d_q(q.size()), d_k(k.size()), d_v(v.size());
  Results r{.lse = std::vector<float>(d.lse.size(), NAN)};
  cpu::attention({DType::kBF16, d.n, q.data(), k.data(), v.data(), d.segments.data(), out.data(), r.lse.data()},
                 parallel);
  cpu::attention_grad({DType::kBF16, d.n, q.data(), k.data(), v.data(), d.segments.data(), d.lse.data(), d_out.data(),
                       d.delta.data(), d_q.data(), d_k.data(), d_v.data()},
                      parallel);
  r.out = to_f32(out);
  r.d_q = to_f32(d_q);
  r.d_k = to_f32(d_k);
  r.d_v = to_f32(d_v);
  return r;
}

// `step`: the relative rounding of the results. The absolute part grows with the magnitude of what is summed up: scores
// and sums are up to some 10 in float32 (2^-24), and gradients are sums of up to s terms.
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

class AttentionKernel : public testing::TestWithParam<Case> {};

TEST_P(AttentionKernel, EqualsTheOracleInFloat32OnEveryInstructionSet) {
  const Data d = make_data(GetParam());
  Serial serial;
  on_every_target([&] { expect_near(run_f32(d, serial), d, 1e-5); });
}

TEST_P(AttentionKernel, RoundsResultsOnceInBfloat16OnEveryInstructionSet) {
  const Data d = make_data(GetParam());
  Serial serial;
  on_every_target([&] { expect_near(run_bf16(d, serial), d, 1.0 / 256 + 1e-5); });
}

TEST_P(AttentionKernel, GivesTheSameBitsOnAnyNumberOfThreads) {
  const Data d = make_data(GetParam());
  Serial serial;
  Threads three(3);
  const Results one = run_f32(d, serial);
  EXPECT_TRUE(one == run_f32(d, three));
  EXPECT_TRUE(one == run_f32(d, serial));
}

INSTANTIATE_TEST_SUITE_P(AwkwardSizes, AttentionKernel, testing::ValuesIn(kCases));

TEST(Attention, LargeScoresNeitherOverflowNorVanish) {
  // Scores of some hundreds: only differences to a row's maximum may be exponentiated.
  const Data d = make_data({{1, 300, 1, 16, 8}, {{300}}}, 200);
  Serial serial;
  const Results r = run_f32(d, serial);
  // Scores of 1,000 are rounded at 6e-5, which is the relative error of their exponentials.
  expect_near("out", r.out, d.out, 1e-3);
  expect_near("lse", r.lse, d.lse, 1e-6);
}

TEST(Attention, NanInAQueryStaysInItsRowAndIsNotHidden) {
  Data d = make_data({{1, 200, 1, 8, 4}, {{200}}});
  d.q[150 * 8 + 3] = NAN;
  Serial serial;
  const Results r = run_f32(d, serial);
  for (size_t i = 0; i < 200; ++i) EXPECT_EQ(std::isnan(r.out[i * 4]), i == 150) << i;
}

TEST(Attention, NanInAKeyReachesEveryLaterRow) {
  Data d = make_data({{1, 200, 1, 8, 4}, {{200}}});
  d.k[130 * 8] = NAN;
  Serial serial;
  const Results r = run_f32(d, serial);
  for (size_t i = 0; i < 200; ++i) EXPECT_EQ(std::isnan(r.out[i * 4]), i >= 130) << i;
}

}  // namespace
}  // namespace fathom
