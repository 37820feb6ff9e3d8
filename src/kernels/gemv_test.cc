#include "kernels/gemv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"

namespace fathom {
namespace {

struct Case {
  std::vector<int32_t> which;
  int64_t matrices, height, first, n, k;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << "rows of matrices " << testing::PrintToString(c.which) << " of " << c.matrices << " [" << c.height << " "
       << c.k << "], rows " << c.first << " .. " << c.first + c.n;
}

// One row and several of one matrix, matrices that nobody names or several name out of order, sizes around blocks,
// vectors and groups of scales, parts of a matrix, several pieces; no rows, no sums, no columns.
const Case kCases[] = {
    {{0}, 1, 1, 0, 1, 1},
    {{0}, 1, 37, 0, 37, 300},
    {{0, 0, 0, 0, 0}, 1, 9, 0, 9, 130},
    {{3, 1, 3, 3, 0}, 4, 7, 0, 7, 65},
    {{0, 1, 2, 0, 1, 2}, 3, 24, 8, 13, 256},
    {{1, 0}, 2, 260, 0, 260, 260},
    {{1, 1, 0}, 2, 40, 3, 30, 500},
    {{}, 2, 4, 0, 4, 4},
    {{0, 1}, 2, 4, 0, 4, 0},
    {{0, 1}, 2, 4, 2, 0, 40},
};

std::vector<float> random(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = uniform(engine);
  return out;
}

std::vector<uint16_t> to_bf16(const std::vector<float>& x) {
  std::vector<uint16_t> out;
  for (float v : x) out.push_back(float_to_bf16(v));
  return out;
}

// The arrays of a case in every type.
struct Arrays {
  std::vector<float> x, w, scales, y;
  std::vector<uint16_t> x16, w16, y16;
  std::vector<int8_t> w8;

  explicit Arrays(const Gemv& g)
      : x(random(g.rows() * g.depth(), 1)),
        w(random(g.matrices * g.height * g.k, 2)),
        scales(random(g.matrices * g.height * scale_groups(g.k), 3)),
        y(static_cast<size_t>(g.rows() * g.width()), NAN),
        x16(to_bf16(x)),
        w16(to_bf16(w)),
        y16(y.size(), 0x7FC0) {
    for (float v : w) w8.push_back(static_cast<int8_t>(std::lround(v * 127)));
  }

  void enter(Gemv& g) {
    g.x = g.dtype == DType::kF32 ? static_cast<void*>(x.data()) : x16.data();
    g.y = g.y_dtype == DType::kF32 ? static_cast<void*>(y.data()) : y16.data();
    g.scales = g.weight_dtype == DType::kS8 ? scales.data() : nullptr;
    g.weights = g.weight_dtype == DType::kF32    ? static_cast<void*>(w.data())
                : g.weight_dtype == DType::kBF16 ? static_cast<void*>(w16.data())
                                                 : w8.data();
  }
  float result(const Gemv& g, size_t i) const { return g.y_dtype == DType::kF32 ? y[i] : bf16_to_float(y16[i]); }
};

// Float32 sums of products up to 127; a result of bfloat16 may fall to its other neighbour.
void expect_near(const Gemv& g, const Arrays& got, const Arrays& want) {
  const double unit = g.weight_dtype == DType::kS8 ? 127 : 1;
  for (size_t i = 0; i < want.y.size(); ++i) {
    const double right = want.result(g, i);
    double limit = unit * (1.2e-7 * static_cast<double>(g.depth()) + 1e-6);
    if (g.y_dtype == DType::kBF16) limit += std::abs(right) / 128;
    ASSERT_TRUE(std::abs(got.result(g, i) - right) <= limit) << i << ": " << got.result(g, i) << ", not " << right;
  }
}

Gemv gemv_of(const Case& c, bool transposed) {
  Gemv g;
  g.which = c.which;
  g.matrices = c.matrices;
  g.height = c.height;
  g.first = c.first;
  g.n = c.n;
  g.k = c.k;
  g.transposed = transposed;
  return g;
}

class GemvKernel : public testing::TestWithParam<std::tuple<Case, bool>> {};

TEST_P(GemvKernel, EqualsTheOracleInEveryType) {
  const auto& [c, transposed] = GetParam();
  struct Types {
    DType x, w, y;
  };
  using enum DType;
  for (Types t :
       {Types{kF32, kF32, kF32}, Types{kF32, kBF16, kF32}, Types{kBF16, kF32, kBF16}, Types{kBF16, kBF16, kBF16},
        Types{kBF16, kBF16, kF32}, Types{kF32, kS8, kF32}, Types{kBF16, kS8, kBF16}}) {
    SCOPED_TRACE(testing::Message() << name(t.x) << " " << name(t.w) << " " << name(t.y));
    Gemv g = gemv_of(c, transposed);
    g.dtype = t.x;
    g.weight_dtype = t.w;
    g.y_dtype = t.y;
    Arrays want(g);
    want.enter(g);
    ref::gemv(g);
    on_every_target([&] {
      for (int64_t threads : {1, 3}) {
        Arrays got(g);
        got.enter(g);
        Threads parallel(threads);
        cpu::gemv(g, parallel);
        expect_near(g, got, want);
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GemvKernel, testing::Combine(testing::ValuesIn(kCases), testing::Bool()));

// A row's result does not depend on the rows beside it, or the text of a prompt would.
TEST(GemvRows, AreTheSameAloneAndBesideOthers) {
  const Case together{{1, 0, 1, 1, 1}, 2, 50, 0, 50, 333}, alone{{1}, 2, 50, 0, 50, 333};
  Serial serial;
  for (bool transposed : {false, true}) {
    Gemv all = gemv_of(together, transposed), one = gemv_of(alone, transposed);
    Arrays of_all(all), of_one(one);
    of_all.enter(all);
    cpu::gemv(all, serial);
    of_one.enter(one);
    for (int64_t row : {0, 2, 3, 4}) {
      one.x = of_all.x.data() + row * one.depth();
      one.weights = of_all.w.data();
      cpu::gemv(one, serial);
      const std::vector<float> part(of_all.y.begin() + row * one.width(), of_all.y.begin() + (row + 1) * one.width());
      EXPECT_EQ(part, of_one.y) << row;
    }
  }
}

TEST(GemvRows, ThatNameNoMatrixAreRefused) {
  Serial serial;
  for (int32_t wrong : {-1, 2}) {
    const Case c{{0, wrong}, 2, 4, 0, 4, 4};
    Gemv g = gemv_of(c, false);
    Arrays arrays(g);
    arrays.enter(g);
    EXPECT_THROW(cpu::gemv(g, serial), std::invalid_argument);
    EXPECT_THROW(ref::gemv(g), std::invalid_argument);
  }
}

}  // namespace
}  // namespace fathom
