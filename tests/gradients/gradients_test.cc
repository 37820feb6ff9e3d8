#include "graph/grad/gradients.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "families.h"
#include "graph/region_ops.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

class FamilyTest : public testing::TestWithParam<Family> {};

INSTANTIATE_TEST_SUITE_P(Each, FamilyTest, testing::ValuesIn(kFamilies),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(FamilyTest, GradientsEqualCentralDifferencesOnBothPlugins) {
  for (const std::string& plugin : kCpuPlugins) {
    SCOPED_TRACE(plugin);
    GradientChecks checks;
    GetParam().fill(checks);
    checks.run_all(plugin);
  }
}

TEST(GradientChecks, SeeAWrongGradientAndNaN) {
  const Shape shape{{"d", 3}};
  auto square = [](std::span<const Value> x) { return x[0] * x[0]; };
  auto half = [](std::span<const Value> x) { return stop_gradient(x[0]) * x[0]; };
  auto nan = [](std::span<const Value> x) { return log(-x[0]); };
  GradientChecks against_difference, against_function, not_a_number;
  against_difference.check("half", {{shape, 1, 2}}, half);
  against_function.same("half", {{shape, 1, 2}}, square, half);
  not_a_number.same("nan", {{shape, 1, 2}}, nan, [](std::span<const Value> x) { return log(log(x[0] * 0)); });
  EXPECT_NONFATAL_FAILURE(against_difference.run_all(kCpuPlugins[0]), "half: the gradient gives");
  EXPECT_NONFATAL_FAILURE(against_function.run_all(kCpuPlugins[0]), "half: the gradient gives");
  EXPECT_NONFATAL_FAILURE(not_a_number.run_all(kCpuPlugins[0]), "nan: the gradient gives");
}

TEST(Gradients, EveryOpWithAVjpIsInAFamily) {
  std::set<Op> covered;
  for (const Family& family : kFamilies) {
    GradientChecks checks;
    family.fill(checks);
    covered.merge(checks.ops());
  }
  for (int i = 0; i < kOpCount; ++i) {
    Op op = static_cast<Op>(i);
    EXPECT_TRUE(op_def(op).vjp == nullptr || covered.contains(op)) << name(op) << " (" << i << ")";
  }
}

// ---- conventions at ties and kinks, where differences say nothing ----

TEST(Gradients, TiesAndKinksFollowTheStatedConventions) {
  ValueChecks t;
  auto expect = [&](const char* what, Value x, auto f, std::vector<double> elements) {
    t.expect(what, gradients(reduce_sum(f(x), ""), {x})[0], std::move(elements));
  };
  auto x = [&](const std::vector<double>& elements) {
    Shape shape{{"d", static_cast<int64_t>(elements.size())}};
    return t.f32(shape, elements);
  };
  expect("maximum: half at a tie", x({1, 2, 3}), [](Value v) { return maximum(v, 2); }, {0, 0.5, 1});
  expect("maximum with itself", x({1, 2, 3}), [](Value v) { return maximum(v, v); }, {1, 1, 1});
  expect("minimum: half at a tie", x({1, 2, 3}), [](Value v) { return minimum(v, 2); }, {1, 0.5, 0});
  expect("clamp: the bounds pass", x({0, 1, 2, 3, 4}), [](Value v) { return clamp(1, v, 3); }, {0, 1, 1, 1, 0});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  expect("maximum: a NaN is the result", x({nan, 1, 3}), [](Value v) { return maximum(v, 2); }, {1, 0, 1});
  expect("minimum: a NaN is the result", x({nan, 1, 3}), [](Value v) { return minimum(2, v); }, {1, 1, 0});
  expect("clamp: a NaN passes", x({nan, 0}), [](Value v) { return clamp(1, v, 3); }, {1, 0});
  expect("reduce_max: NaNs share", x({nan, nan}), [](Value v) { return reduce_max(v, "d"); }, {0.5, 0.5});
  expect("square at 0", x({0, -1}), [](Value v) { return pow(v, 2); }, {0, -2});
  expect("cube at 0", x({0, -1}), [](Value v) { return pow(v, 3); }, {0, 3});
  expect("0^0", x({0, 2}), [](Value v) { return pow(v, v * 0); }, {0, 0});
  expect("0 to a computed power", x({2, 1}), [](Value v) { return pow(v * 0, v); }, {0, 0});
  expect("reduce_max: ties share", x({1, 3, 3, 2}), [](Value v) { return reduce_max(v, "d"); }, {0, 0.5, 0.5, 0});
  expect("reduce_min: ties share", x({1, 1, 1, 1}), [](Value v) { return reduce_min(v, "d"); }, {.25, .25, .25, .25});
  expect("top_k: the first of ties", x({5, 5, 5}), [](Value v) { return top_k(v, "d", 2, "k").values; }, {1, 1, 0});
  expect("sort: ties are stable", x({1, 1}), [&](Value v) { return sort({v}, "d")[0] * x({10, 20}); }, {10, 20});
  t.run_all(kCpuPlugins[0]);
}

// 256 is the last number that bfloat16 counts to by ones.
TEST(Gradients, TheTurnsOfANarrowCaptureAreSummedInFloat32) {
  ValueChecks t;
  Value x = t.f32({}, {1});
  Value narrow = convert(x, DType::kBF16);
  auto turn = [&](Value, std::span<const Value> carry, std::span<const Value>) {
    return ScanBody{.carry = {carry[0] + convert(narrow, DType::kF32)}, .stack = {}};
  };
  Value sum = scan(t.graph(), {.axis = "l", .length = 300}, {zeros(t.graph(), {DType::kF32, {}})}, {}, turn).carry[0];
  t.expect("300 turns", gradients(sum, {x})[0], {300});
  t.run_all(kCpuPlugins[0]);
}

// ---- the size of what is built ----

int64_t nodes_of_gradient(const std::function<Value(Value)>& f) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {{"d", 4}}});
  Value loss = reduce_sum(f(x), "");
  int64_t before = g.node_count();
  gradients(loss, {x});
  return g.node_count() - before;
}

TEST(Gradients, GrowLinearlyWithRepeatedUses) {
  auto doubled = [](int times) {
    return nodes_of_gradient([=](Value x) {
      for (int i = 0; i < times; ++i) x = x + x;
      return x;
    });
  };
  // A constant, a broadcast, and one sum for each doubling.
  EXPECT_EQ(doubled(10), 2 + 10);
  EXPECT_EQ(doubled(40), 2 + 40);
}

TEST(Gradients, TakeFewNodes) {
  EXPECT_LE(nodes_of_gradient([](Value x) { return x * x; }), 2 + 3);
  EXPECT_LE(nodes_of_gradient([](Value x) { return x * 3; }), 2 + 1);
  EXPECT_LE(nodes_of_gradient([](Value x) { return tanh(x); }), 2 + 4);
  EXPECT_LE(nodes_of_gradient([](Value x) { return reduce_sum(x * 0.5, "d"); }), 1 + 2);
}

TEST(Gradients, ASplitTakesOneConcatenation) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {{"d", 4}}});
  std::vector<Value> parts = split(x, "d", {1, 1, 2});
  Value dx = gradients(reduce_sum(parts[0] * 2, "") + reduce_sum(parts[2], ""), {x})[0];
  EXPECT_EQ(dx.node().op, Op::kConcatenate);
  EXPECT_EQ(dx.node().operands.size(), 3u);
}

TEST(Gradients, OfBroadcastNarrowFloatsAreSummedInFloat32) {
  Graph g;
  Value bias = g.arg("bias", {DType::kBF16, {{"d", 4}}});
  Value x = g.arg("x", {DType::kBF16, {{"b", 512}, {"d", 4}}});
  Value dx = gradients(reduce_sum(convert(x + bias, DType::kF32), ""), {bias})[0];
  EXPECT_EQ(dx.node().op, Op::kConvert);
  EXPECT_EQ(dx.node().operands[0].node().op, Op::kReduceSum);
  EXPECT_EQ(dx.node().operands[0].dtype(), DType::kF32);
}

TEST(Gradients, OfDotHaveTheOperandsTypesAndPrecision) {
  Graph g;
  Value x = g.arg("x", {DType::kBF16, {{"b", 2}, {"d", 4}}});
  Value w = g.arg("w", {DType::kBF16, {{"f", 3}, {"d", 4}}});
  Value y = dot(x, w, "d", {.out = DType::kF32, .precision = Precision::kHighest});
  Value dw = gradients(reduce_sum(y * y, ""), {w})[0];
  EXPECT_EQ(dw.type(), w.type());
  while (dw.node().op != Op::kDot) dw = dw.node().operands[0];
  EXPECT_EQ(dw.node().operands[0].dtype(), DType::kBF16);
  EXPECT_EQ(dw.node().attr<DotAttrs>().precision, Precision::kHighest);
}

// ---- misuse ----

TEST(Gradients, AnInputThatIsNotReachedHasNone) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {{"d", 4}}});
  Value y = g.arg("y", {DType::kF32, {{"d", 4}}});
  std::vector<Value> dx = gradients(reduce_sum(stop_gradient(x) + y, ""), {x, y});
  EXPECT_FALSE(dx[0]);
  EXPECT_TRUE(dx[1]);
}

TEST(Gradients, OfALoopWithoutTripCountAreRefusedByName) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {}});
  auto more = [](std::span<const Value> s) { return less(s[0], 100); };
  auto step = [](std::span<const Value> s) { return std::vector<Value>{s[0] * 2}; };
  Value y = while_loop(g, {x}, more, step)[0];
  EXPECT_THAT([&] { gradients(y, {x}); },
              ThrowsMessage<GraphError>(AllOf(HasSubstr("stablehlo.while: no gradient"), HasSubstr("use scan"),
                                              HasSubstr("gradients_test.cc:" + std::to_string(__LINE__ - 3)))));
}

TEST(Gradients, OfACustomCallAreRefusedByName) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {}});
  Value y = custom_call(g, {.target = "f", .config = {}, .results = {x.type()}, .aliases = {}}, {x})[0];
  EXPECT_THAT([&] { gradients(y, {x}); }, ThrowsMessage<GraphError>(HasSubstr("make it a fused op")));
}

TEST(Gradients, OfWhatIsNotAFloatScalarAreRefused) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, {{"d", 4}}});
  Value i = g.arg("i", {DType::kS32, {}});
  EXPECT_THAT([&] { gradients(x, {x}); }, ThrowsMessage<GraphError>(HasSubstr("f32[d=4]")));
  EXPECT_THAT([&] { gradients(reduce_sum(x, ""), {i}); }, ThrowsMessage<GraphError>(HasSubstr("i32[]")));
}

}  // namespace
}  // namespace fathom
