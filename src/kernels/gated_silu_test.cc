#include "kernels/gated_silu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/bf16.h"
#include "kernels/kernel_testing.h"
#include "kernels/ref/element.h"

namespace fathom {

static void PrintTo(DType dtype, std::ostream* out) { *out << name(dtype); }

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Memory of `count` numbers of either type.
struct Array {
  Array(DType type, int64_t count) : dtype(type), bytes(static_cast<size_t>(count * byte_size(type))) {}
  Array(DType type, int64_t count, uint32_t seed, float scale) : Array(type, count) {
    std::mt19937 bits(seed);
    std::normal_distribution<float> normal(0, scale);
    for (int64_t i = 0; i < count; ++i) set(i, normal(bits));
  }
  void* data() { return bytes.data(); }
  const void* data() const { return bytes.data(); }
  void set(int64_t i, float x) { ref::store(dtype, data(), i, static_cast<double>(x)); }
  double at(int64_t i) const { return ref::load(dtype, data(), i); }
  bool operator==(const Array&) const = default;

  DType dtype;
  std::vector<std::byte> bytes;
};

struct Case {
  Case(DType type, int64_t n) : dtype(type), count(n), gate(type, n, 1, 4), up(type, n, 2, 1), d(type, n, 3, 1) {}
  GatedSilu forward(Array& y) const {
    return {.dtype = dtype, .count = count, .gate = gate.data(), .up = up.data(), .y = y.data()};
  }
  GatedSiluDerivative backward(Array& d_gate, Array& d_up) const {
    return {.dtype = dtype,
            .count = count,
            .gate = gate.data(),
            .up = up.data(),
            .d = d.data(),
            .d_gate = d_gate.data(),
            .d_up = d_up.data()};
  }

  DType dtype;
  int64_t count;
  Array gate, up, d;
};

// A few roundings of float32 of numbers about 1 (the slope of the gate's derivative is a difference); one step of
// bfloat16 where the result lay at a rounding border.
void expect_near(const Array& got, const Array& want, int64_t count) {
  const double limit = want.dtype == DType::kF32 ? 1e-6 : 1.0 / 128;
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_LE(std::abs(got.at(i) - want.at(i)), limit * (std::abs(want.at(i)) + 1)) << i;
  }
}

// One element, less than a vector, no multiple of one, one task of the kernel (32768) and some elements more.
constexpr int64_t kCounts[] = {1, 3, 17, 1000, 32768, 70001};

class GatedSiluKernel : public testing::TestWithParam<DType> {};

TEST_P(GatedSiluKernel, EqualsTheOracleOnEveryInstructionSet) {
  Serial serial;
  for (int64_t count : kCounts) {
    SCOPED_TRACE(count);
    const Case c(GetParam(), count);
    Array y(c.dtype, count), d_gate(c.dtype, count), d_up(c.dtype, count);
    ref::gated_silu(c.forward(y));
    ref::gated_silu_grad(c.backward(d_gate, d_up));
    on_every_target([&] {
      Array got(c.dtype, count), got_gate(c.dtype, count), got_up(c.dtype, count);
      cpu::gated_silu(c.forward(got), serial);
      cpu::gated_silu_grad(c.backward(got_gate, got_up), serial);
      expect_near(got, y, count);
      expect_near(got_gate, d_gate, count);
      expect_near(got_up, d_up, count);
    });
  }
}

TEST_P(GatedSiluKernel, GivesTheSameBitsOnAnyNumberOfThreads) {
  Serial serial;
  Threads three(3);
  const int64_t count = 200001;
  const Case c(GetParam(), count);
  Array one(c.dtype, count), some(c.dtype, count), gate_one = one, gate_some = one, up_one = one, up_some = one;
  cpu::gated_silu(c.forward(one), serial);
  cpu::gated_silu(c.forward(some), three);
  cpu::gated_silu_grad(c.backward(gate_one, up_one), serial);
  cpu::gated_silu_grad(c.backward(gate_some, up_some), three);
  EXPECT_EQ(one, some);
  EXPECT_EQ(gate_one, gate_some);
  EXPECT_EQ(up_one, up_some);
}

INSTANTIATE_TEST_SUITE_P(Types, GatedSiluKernel, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return std::string(name(info.param)); });

// Far from zero the sigmoid is 0 or 1, and a number that is none stays in its place.
TEST(GatedSiluEdges, LargeGatesSaturateAndABrokenOneStaysInItsPlace) {
  Serial serial;
  Case c(DType::kF32, 40);
  for (int64_t i = 0; i < c.count; ++i) c.up.set(i, 2);
  c.gate.set(0, 1000);
  c.gate.set(1, -1000);
  c.gate.set(2, -90);
  c.gate.set(37, NAN);
  c.gate.set(38, kInf);
  Array y(c.dtype, c.count), d_gate = y, d_up = y;
  cpu::gated_silu(c.forward(y), serial);
  cpu::gated_silu_grad(c.backward(d_gate, d_up), serial);
  EXPECT_EQ(y.at(0), 2000);
  EXPECT_EQ(y.at(1), 0);
  EXPECT_NEAR(y.at(2), 0, 1e-30);
  EXPECT_EQ(y.at(38), static_cast<double>(kInf));
  for (int64_t i = 0; i < 38; ++i) {
    for (const Array* x : {&y, &d_gate, &d_up}) EXPECT_EQ(std::isnan(x->at(i)), i == 37) << i;
  }
}

}  // namespace
}  // namespace fathom
