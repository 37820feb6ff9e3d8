// Forward values of operations against numbers worked out by hand, on both CPU plugins.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/region_ops.h"
#include "program_of_checks.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInf = std::numeric_limits<double>::infinity();

class ValuesTest : public testing::TestWithParam<std::string> {
 protected:
  Value row(const std::vector<double>& x) { return t_.f32({{"d", static_cast<int64_t>(x.size())}}, x); }
  Value count(const std::vector<double>& x) { return t_.s32({{"k", static_cast<int64_t>(x.size())}}, x); }
  ValueChecks t_;
};

INSTANTIATE_TEST_SUITE_P(Cpu, ValuesTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(ValuesTest, Elementwise) {
  Value x = row({-2.5, -0.5, 0, 0.5, 1.5});
  t_.expect("clamp", clamp(-1, x, 1), {-1, -0.5, 0, 0.5, 1});
  t_.expect("finite", is_finite(x / 0), {0, 0, 0, 0, 0});
  t_.expect("logistic", logistic(row({0, 800, -800})), {0.5, 1, 0});
  t_.expect("maximum keeps NaN", maximum(row({kNan, 1, kInf}), 0), {kNan, 1, kInf});
  Value i = count({-8, 5, 0, 7});
  t_.expect("integer division", i / 3, {-2, 1, 0, 2});
  t_.expect("remainder", remainder(i, 3), {-2, 2, 0, 1});
  t_.expect("and", logical_and(i, 6), {0, 4, 0, 6});
  t_.expect("xor", logical_xor(i, 1), {-7, 4, 1, 6});
  t_.expect("shift", shift_right(i, 1), {2147483644.0, 2, 0, 3});
  t_.expect("shift left", shift_left(i, 1), {-16, 10, 0, 14});
  t_.expect("not", logical_not(less(i, 1)), {0, 1, 0, 1});
  t_.expect("bits of floats", bitcast(row({1, -0.0}), DType::kU32), {1065353216.0, 2147483648.0});
  t_.expect("less", less(i, 5), {1, 0, 1, 0});
  t_.expect("less or equal", less_equal(i, 5), {1, 1, 1, 0});
  t_.expect("comparison with NaN", not_equal(row({kNan, 1}), row({kNan, 1})), {1, 0});
  t_.expect("iota", iota(t_.graph(), DType::kS32, {{"a", 2}, {"b", 3}}, "b"), {0, 1, 2, 0, 1, 2});
  t_.run_all(GetParam());
}

TEST_P(ValuesTest, Shapes) {
  Value x = t_.f32({{"a", 2}, {"b", 3}}, {1, 2, 3, 4, 5, 6});
  t_.expect("broadcast in a new order", broadcast(x, {{"b", 3}, {"c", 2}, {"a", 2}}),
            {1, 4, 1, 4, 2, 5, 2, 5, 3, 6, 3, 6});
  t_.expect("aligned sum", x + t_.f32({{"b", 3}}, {10, 20, 30}), {11, 22, 33, 14, 25, 36});
  t_.expect("merge in another order", merge_axes(x, "b a", "n"), {1, 4, 2, 5, 3, 6});
  t_.expect("split", split_axis(merge_axes(x, "a b", "n"), "n", {{"c", 3}, {"e", -1}}), {1, 2, 3, 4, 5, 6});
  t_.expect("concatenate, aligned", concatenate({x, transpose(x, "b a")}, "a"), {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6});
  t_.expect("slice in steps", slice(x, "b", 0, 3, 2), {1, 3, 4, 6});
  t_.expect("pad", pad(x, "a", 1, 0, -1), {-1, -1, -1, 1, 2, 3, 4, 5, 6});
  Value at = t_.s32({}, {2});
  t_.expect("dynamic slice is clamped", dynamic_slice(x, "b", at, 2), {2, 3, 5, 6});
  t_.expect("dynamic index", dynamic_index(x, "b", at), {3, 6});
  t_.expect("dynamic update", dynamic_update_slice(x, t_.f32({{"a", 2}, {"b", 1}}, {8, 9}), "b", at),
            {1, 2, 8, 4, 5, 9});
  t_.expect("second of three parts", split(x, "b", {1, 2})[1], {2, 3, 5, 6});
  t_.run_all(GetParam());
}

TEST_P(ValuesTest, ReductionsAndProducts) {
  Value x = t_.f32({{"a", 2}, {"b", 3}}, {1, 2, 3, 4, 5, 6});
  t_.expect("sum", reduce_sum(x, "a"), {5, 7, 9});
  t_.expect("sum of all", reduce_sum(x, ""), {21});
  t_.expect("mean", reduce_mean(x, "b"), {2, 5});
  t_.expect("max of nothing", reduce_max(row({}), "d"), {-kInf});
  t_.expect("min of nothing", reduce_min(t_.s32({{"d", 0}}, {}), "d"), {2147483647.0});
  t_.expect("any", reduce_or(greater(x, 5), "b"), {0, 1});
  t_.expect("cumsum", cumsum(x, "b"), {1, 3, 6, 4, 9, 15});
  t_.expect("cumsum from the end", cumsum(x, "b", true), {6, 5, 3, 15, 11, 6});
  t_.expect("cumsum of integers", cumsum(count({3, 0, 5, 1, 2}), "k"), {3, 3, 8, 9, 11});
  Value y = t_.f32({{"c", 2}, {"b", 3}}, {1, 0, 2, 0, 1, 0});
  t_.expect("dot", dot(x, y, "b"), {7, 2, 16, 5});
  t_.expect("batched dot", dot(x, rename(y, "c", "a"), "b"), {7, 5});
  t_.expect("batch of products", dot(x, rename(y, "c", "a"), ""), {1, 0, 6, 0, 5, 0});
  t_.expect("dot over nothing", dot(row({1, 2}), t_.f32({{"e", 2}}, {3, 4}), ""), {3, 4, 6, 8});
  t_.expect("dot over an empty axis", dot(row({}), row({}), "d"), {0});
  // Larger on the left than the rest together: lowering turns the product around.
  Value wide = t_.f32({{"s", 8}, {"n", 4}}, [] {
    std::vector<double> values(32, 0);
    for (size_t n = 0; n < 4; ++n) {
      values[n] = static_cast<double>(n + 1);
      values[4 + n] = 10 * static_cast<double>(n + 1);
    }
    return values;
  }());
  Value narrow = t_.f32({{"s", 8}, {"d", 2}}, {1, 0, 0, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5});
  t_.expect("dot over a leading axis", dot(wide, narrow, "s"), {1, 10, 2, 20, 3, 30, 4, 40});
  Value wider = t_.f32({{"b", 2}, {"s", 2}, {"n", 3}}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  Value one = t_.f32({{"b", 2}, {"s", 2}, {"d", 1}}, {1, 10, 100, 1000});
  t_.expect("dot over leading axes", dot(wider, one, "b s"), {10741, 11852, 12963});
  const double e1 = std::exp(1.0);
  t_.expect("softmax", softmax(row({1000, 1001, -kInf}), "d"), {1 / (1 + e1), e1 / (1 + e1), 0});
  t_.expect("logsumexp", logsumexp(row({1000, 1000}), "d"), {1000 + std::log(2.0)}, 1e-4);
  t_.expect("logsumexp of -inf", logsumexp(row({-kInf, -kInf}), "d"), {-kInf});
  t_.expect("argmax: the first", argmax(row({1, 7, 7, 2}), "d"), {1});
  t_.expect("argmax of NaN is in range", argmax(row({kNan, kNan}), "d"), {0});
  t_.expect("argmax of integers", argmax(count({-3, -1, -2}), "k"), {1});
  t_.expect("one_hot", one_hot(count({2, 5, 0}), {"e", 3}, DType::kF32), {0, 0, 1, 0, 0, 0, 1, 0, 0});
  t_.run_all(GetParam());
}

// In bfloat16 a running sum of ones stops at 256.
TEST_P(ValuesTest, LongSumsOfNarrowFloatsAreExact) {
  Value ones = broadcast(convert(t_.f32({}, {1}), DType::kBF16), {{"n", 4096}});
  t_.expect("sum", reduce_sum(ones, "n"), {4096});
  t_.expect("mean", reduce_mean(ones, "n"), {1});
  t_.expect("dot", dot(ones, ones, "n"), {4096});
  t_.expect("last of a cumsum", slice(cumsum(ones, "n"), "n", 4095, 4096), {4096});
  Value nowhere = zeros(t_.graph(), {DType::kBF16, {{"v", 2}}});
  Value indices = zeros(t_.graph(), {DType::kS32, {{"n", 4096}}});
  t_.expect("scatter_add", scatter_add(nowhere, indices, ones, "v"), {4096, 0});
  t_.run_all(GetParam());
}

TEST_P(ValuesTest, GatherAndScatter) {
  Value table = t_.f32({{"v", 3}, {"d", 2}}, {1, 2, 3, 4, 5, 6});
  Value ids = count({2, 0, 7, -1});
  t_.expect("embedding, clamped", gather(table, ids, "v"), {5, 6, 1, 2, 5, 6, 1, 2});
  t_.expect("columns", gather(table, count({1, 1}), "d"), {2, 4, 6, 2, 4, 6});
  Value along = t_.s32({{"v", 3}, {"k", 2}}, {1, 0, 0, 0, 0, 1});
  t_.expect("along an axis", gather(table, along, "d"), {2, 1, 3, 3, 5, 6});
  Value updates = t_.f32({{"k", 4}, {"d", 2}}, {10, 10, 20, 20, 40, 40, 80, 80});
  t_.expect("scatter_add drops what is outside", scatter_add(table, ids, updates, "v"), {21, 22, 3, 4, 15, 16});
  t_.expect("scatter_add adds up", scatter_add(table, count({1, 1, 1, 0}), updates, "v"), {81, 82, 73, 74, 5, 6});
  Value into = t_.f32({{"v", 3}, {"k", 2}}, {10, 20, 30, 40, 50, 60});
  t_.expect("scatter_add along an axis", scatter_add(table, along, into, "d"), {21, 12, 73, 4, 55, 66});
  t_.expect("integers",
            scatter_add(count({0, 0, 0}), rename(count({2, 2, 1}), "k", "n"), rename(count({1, 1, 1}), "k", "n"), "k"),
            {0, 1, 2});
  t_.run_all(GetParam());
}

TEST_P(ValuesTest, SortAndTopK) {
  Value x = row({3, 1, 2, 1, 5});
  t_.expect("sort", sort({x}, "d")[0], {1, 1, 2, 3, 5});
  t_.expect("payload of a stable sort", sort({x, row({0, 1, 2, 3, 4})}, "d")[1], {1, 3, 2, 0, 4});
  t_.expect("argsort", argsort(x, "d"), {1, 3, 2, 0, 4});
  t_.expect("argsort, descending", argsort(x, "d", true), {4, 0, 2, 1, 3});
  Value y = t_.f32({{"e", 4}, {"b", 2}}, {1, 8, 4, 7, 4, 6, 2, 5});
  // A NaN is larger than all numbers, whatever its sign; the numbers keep their order.
  Value holes = row({2, kNan, 1, -kNan, kInf, -1});
  t_.expect("sort with NaN", sort({holes}, "d")[0], {-1, 1, 2, kInf, kNan, kNan});
  t_.expect("argsort with NaN", argsort(holes, "d"), {5, 2, 0, 4, 1, 3});
  t_.expect("argsort with NaN, descending", argsort(holes, "d", true), {1, 3, 4, 0, 2, 5});
  t_.expect("sort of columns", sort({y}, "e")[0], {1, 5, 2, 6, 4, 7, 4, 8});
  TopK top = top_k(y, "e", 2, "k");
  t_.expect("top_k", top.values, {4, 8, 4, 7});
  t_.expect("top_k: the lower index wins ties", top.indices, {1, 0, 2, 1});
  t_.expect("top_k of integers", top_k(count({2, 9, 4}), "k", 2, "j").indices, {1, 2});
  t_.expect("top_k of bfloat16", top_k(convert(x, DType::kBF16), "d", 3, "k").values, {5, 3, 2});
  t_.expect("top_k of all", top_k(x, "d", 5, "k").indices, {4, 0, 2, 1, 3});
  t_.run_all(GetParam());
}

TEST_P(ValuesTest, Loops) {
  Graph& g = t_.graph();
  Value one = t_.f32({}, {1});
  auto below = [&](std::span<const Value> s) { return less(s[0], t_.f32({}, {100})); };
  auto twice = [](std::span<const Value> s) { return std::vector<Value>{s[0] * 2, s[1] + 1}; };
  std::vector<Value> out = while_loop(g, {one, t_.s32({}, {0})}, below, twice);
  t_.expect("while", out[0], {128});
  t_.expect("trips", out[1], {7});
  Value stack = t_.f32({{"l", 3}}, {1, 2, 3});
  for (bool reverse : {false, true}) {
    ScanResult sums = scan(g, {.axis = "l", .length = 3, .reverse = reverse}, {one}, {stack},
                           [&](Value index, std::span<const Value> c, std::span<const Value> s) {
                             Value next = c[0] * 2 + s[0];
                             return ScanBody{{next}, {next + convert(index, DType::kF32) * 100}};
                           });
    t_.expect("carry", sums.carry[0], {reverse ? 25.0 : 19.0});
    t_.expect("stack", sums.stack[0], reverse ? std::vector<double>{25, 112, 205} : std::vector<double>{3, 108, 219});
  }
  t_.run_all(GetParam());
}

// ---- random numbers ----

struct Moments {
  double mean, variance, fourth, lowest, highest;
};
Moments moments(const std::vector<double>& x) {
  double n = static_cast<double>(x.size());
  Moments m{0, 0, 0, *std::min_element(x.begin(), x.end()), *std::max_element(x.begin(), x.end())};
  for (double v : x) m.mean += v / n;
  for (double v : x) m.variance += (v - m.mean) * (v - m.mean) / n;
  for (double v : x) m.fourth += std::pow(v - m.mean, 4) / n / (m.variance * m.variance);
  return m;
}

// Words given by their bits.
Value words_of(CheckedProgram& t, const std::vector<uint32_t>& words) {
  std::vector<double> bits;
  for (uint32_t w : words) bits.push_back(static_cast<int32_t>(w));
  return bitcast(t.values(DType::kS32, {{"n", static_cast<int64_t>(words.size())}}, bits), DType::kU32);
}

// Vectors of its authors: kat_vectors of Random123, "threefry2x32 20".
TEST_P(ValuesTest, ThreefryGivesThePublishedWords) {
  Words key{words_of(t_, {0, 0xffffffff, 0x13198a2e}), words_of(t_, {0, 0xffffffff, 0x03707344})};
  Words counter{words_of(t_, {0, 0xffffffff, 0x243f6a88}), words_of(t_, {0, 0xffffffff, 0x85a308d3})};
  Words out = threefry(key, counter);
  t_.expect("first", out.first, {0x6b200159, 0x1cb996fc, 0xc4923a9c}, 0);
  t_.expect("second", out.second, {0x99ba4efe, 0xbb002be7, 0x483df7a0}, 0);
  t_.run_all(GetParam());
}

Value seed_of(CheckedProgram& t, double low) {
  return bitcast(t.values(DType::kS32, {{"word", 2}}, {0, low}), DType::kU32);
}

// Uniform in its 24 bits: the smallest, the two in the middle and the largest.
TEST_P(ValuesTest, UniformNumbersAreSymmetricAndExact) {
  Value bits = words_of(t_, {0, 0x7fffffff, 0x80000000, 0xffffffff});
  const double half = std::ldexp(1.0, -24);
  t_.expect("uniform", random_uniform({bits, bits}), {half - 1, -half, half, 1 - half}, 0);
  t_.run_all(GetParam());
}

// The bounds are 5 standard errors of 65536 independent numbers.
TEST_P(ValuesTest, RandomNumbersHaveTheirDistributions) {
  Words key = rng_key("w", seed_of(t_, 3));
  Words bits = threefry(key, element_counters(t_.graph(), {{"a", 256}, {"b", 256}}, 1, 0));
  auto got = t_.run(GetParam(), {random_uniform(bits), random_normal(bits)});
  Moments u = moments(got[0]);
  EXPECT_NEAR(u.mean, 0, 5 * std::sqrt(1.0 / 3) / 256);
  EXPECT_NEAR(u.variance, 1.0 / 3, 5 * std::sqrt(4.0 / 45) / 256);
  EXPECT_GT(u.lowest, -1);
  EXPECT_LT(u.highest, 1);
  Moments n = moments(got[1]);
  EXPECT_NEAR(n.mean, 0, 5.0 / 256);
  EXPECT_NEAR(n.variance, 1, 5 * std::sqrt(2.0) / 256);
  EXPECT_NEAR(n.fourth, 3, 5 * std::sqrt(24.0) / 256);
  EXPECT_GT(n.highest, 3.5);
  EXPECT_LT(n.lowest, -3.5);
}

// Each word is the row-major place inside its own axes.
TEST_P(ValuesTest, CountersCountTheElements) {
  Words c = element_counters(t_.graph(), {{"l", 2}, {"e", 3}, {"f", 2}, {"d", 2}}, 2, 7);
  std::vector<double> first, second;
  for (int i = 0; i < 24; ++i) {
    const int row = i / 4;
    first.push_back(7 + row);
    second.push_back(i % 4);
  }
  t_.expect("first", c.first, first, 0);
  t_.expect("second", c.second, second, 0);
  t_.run_all(GetParam());
}

std::vector<std::vector<double>> some_words(const std::string& plugin) {
  CheckedProgram program;
  Graph& g = program.graph();
  const Words counters = element_counters(g, {{"n", 8}}, 0, 0);
  Value low = seed_of(program, 3);
  Value high = program.values(DType::kS32, {{"word", 2}}, {1, 3});
  auto drawn = [&](std::string_view name, Value seed) { return threefry(rng_key(name, seed), counters).first; };
  Words none = threefry(rng_key("a", low), element_counters(g, {{"n", 0}}, 0, 0));
  return program.run(plugin, {drawn("a", low), drawn("b", low), drawn("a", bitcast(high, DType::kU32)),
                              reduce_sum(random_uniform(none), "n")});
}

TEST(Random, WordsAreAFunctionOfNameAndWholeSeedOnEveryPlugin) {
  auto words = some_words(kCpuPlugins[0]);
  EXPECT_EQ(words, some_words(kCpuPlugins[1]));
  EXPECT_NE(words[0], words[1]);
  EXPECT_NE(words[0], words[2]);
  EXPECT_NE(words[1], words[2]);
  EXPECT_EQ(words[3], std::vector<double>{0});
}

}  // namespace
}  // namespace fathom
