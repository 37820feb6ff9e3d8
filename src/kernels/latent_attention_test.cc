#include "kernels/latent_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"

namespace fathom {
namespace {

struct Case {
  int64_t b, s, h, t, c, w;
  double seen;  // the share of keys that a query sees
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << "b " << c.b << " s " << c.s << " h " << c.h << " t " << c.t << " c " << c.c << " w " << c.w << " sees "
       << c.seen;
}

// One of everything; widths beside vectors; several blocks of keys, of which some are seen by nobody; all seen.
const Case kCases[] = {
    {1, 1, 1, 1, 1, 1, 1},         {2, 1, 4, 17, 16, 8, 0.5},  {1, 3, 5, 300, 33, 7, 0.1},
    {2, 2, 3, 1030, 40, 4, 0.003}, {1, 1, 16, 513, 64, 16, 1},
};

class Arrays {
 public:
  explicit Arrays(const Case& c, DType dtype) : case_(c), dtype_(dtype) {
    q_ = random(c.b * c.s * c.h * c.c, 1);
    q_rotated_ = random(c.b * c.s * c.h * c.w, 2);
    kv_ = random(c.b * c.t * c.c, 3);
    rotated_ = random(c.b * c.t * c.w, 4);
    visible_ = std::make_unique<bool[]>(static_cast<size_t>(c.b * c.s * c.t));
    std::mt19937 engine(5);
    std::uniform_real_distribution<double> uniform(0, 1);
    for (int64_t i = 0; i < c.b * c.s * c.t; ++i) visible_[static_cast<size_t>(i)] = uniform(engine) <= c.seen;
    out_.assign(q_.size(), NAN);
    out16_.assign(q_.size(), 0x7FC0);
    for (auto [from, to] :
         {std::pair(&q_, &q16_), {&q_rotated_, &q_rotated16_}, {&kv_, &kv16_}, {&rotated_, &rotated16_}}) {
      for (float& v : *from) {
        to->push_back(float_to_bf16(v));
        if (dtype == DType::kBF16) v = bf16_to_float(to->back());
      }
    }
  }

  LatentAttention args() {
    const Case& c = case_;
    const bool wide = dtype_ == DType::kF32;
    auto of = [&](std::vector<float>& x, std::vector<uint16_t>& x16) {
      return wide ? static_cast<void*>(x.data()) : x16.data();
    };
    return {.dtype = dtype_,
            .q = of(q_, q16_),
            .q_rotated = of(q_rotated_, q_rotated16_),
            .kv = of(kv_, kv16_),
            .rotated = of(rotated_, rotated16_),
            .visible = visible_.get(),
            .out = of(out_, out16_),
            .b = c.b,
            .s = c.s,
            .h = c.h,
            .t = c.t,
            .c = c.c,
            .w = c.w};
  }
  float result(size_t i) const { return dtype_ == DType::kF32 ? out_[i] : bf16_to_float(out16_[i]); }
  size_t results() const { return out_.size(); }
  std::vector<float>& q() { return q_; }
  std::vector<float>& kv() { return kv_; }

 private:
  static std::vector<float> random(int64_t count, uint32_t seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> out(static_cast<size_t>(count));
    for (float& x : out) x = uniform(engine);
    return out;
  }

  Case case_;
  DType dtype_;
  std::vector<float> q_, q_rotated_, kv_, rotated_, out_;
  std::vector<uint16_t> q16_, q_rotated16_, kv16_, rotated16_, out16_;
  std::unique_ptr<bool[]> visible_;
};

class LatentAttentionKernel : public testing::TestWithParam<Case> {};

TEST_P(LatentAttentionKernel, EqualsTheOracle) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    SCOPED_TRACE(name(dtype));
    Arrays want(GetParam(), dtype);
    ref::latent_attention(want.args());
    const double limit = dtype == DType::kF32 ? 2e-6 : 8e-3;
    on_every_target([&] {
      for (int64_t threads : {1, 3}) {
        Arrays got(GetParam(), dtype);
        Threads parallel(threads);
        cpu::latent_attention(got.args(), parallel);
        for (size_t i = 0; i < want.results(); ++i) {
          ASSERT_TRUE(std::abs(got.result(i) - want.result(i)) <= limit)
              << i << ": " << got.result(i) << ", not " << want.result(i);
        }
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, LatentAttentionKernel, testing::ValuesIn(kCases));

// What stands behind a row's tokens may be anything that is finite.
TEST(LatentAttentionKeys, ThatNobodySeesChangeNothing) {
  const Case c{1, 1, 2, 40, 8, 4, 0.5};
  Arrays plain(c, DType::kF32), other(c, DType::kF32);
  const LatentAttention args = other.args();
  for (int64_t t = 0; t < c.t; ++t) {
    for (int64_t i = 0; i < c.c && !args.visible[t]; ++i) other.kv()[static_cast<size_t>(t * c.c + i)] = 1e30F;
  }
  Serial serial;
  cpu::latent_attention(plain.args(), serial);
  cpu::latent_attention(args, serial);
  for (size_t i = 0; i < plain.results(); ++i) EXPECT_EQ(plain.result(i), other.result(i)) << i;
}

TEST(LatentAttentionQueries, ThatAreNotNumbersGiveNone) {
  Arrays x({1, 1, 2, 20, 8, 4, 0.5}, DType::kF32);
  x.q()[0] = NAN;
  Serial serial;
  cpu::latent_attention(x.args(), serial);
  EXPECT_TRUE(std::isnan(x.result(0)));
  EXPECT_FALSE(std::isnan(x.result(8)));
}

}  // namespace
}  // namespace fathom
