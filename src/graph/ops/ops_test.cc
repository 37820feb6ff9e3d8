#include "graph/ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/region_ops.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr DType kF32 = DType::kF32;
constexpr DType kS32 = DType::kS32;
constexpr DType kU32 = DType::kU32;

class OpsTest : public testing::Test {
 protected:
  Value arg(Shape shape, DType dtype = kF32) { return g_.arg("x", {dtype, std::move(shape)}); }
  Graph g_;
};

std::string type_of(Value v) { return v.type().to_string(); }

// ---- the table ----

TEST(OpTable, EveryOpHasItsRowAndEitherAVjpOrTheReasonWhyNot) {
  for (int i = 0; i < kOpCount; ++i) {
    const OpDef& def = op_def(static_cast<Op>(i));
    EXPECT_EQ(def.op, static_cast<Op>(i)) << def.name;
    EXPECT_NE(def.vjp == nullptr, def.no_vjp.empty()) << def.name;
  }
}

TEST(OpTable, OnlyOpsWithBodiesAndArgumentsHaveNoShapeRule) {
  for (int i = 0; i < kOpCount; ++i) {
    Op op = static_cast<Op>(i);
    bool told = op == Op::kArg || op == Op::kScan || op == Op::kWhile || op == Op::kRemat || op == Op::kFused ||
                op == Op::kManual;
    EXPECT_EQ(op_def(op).infer == nullptr, told) << name(op);
  }
}

// What a node says of itself (operands and attributes) is enough to find its types again.
TEST_F(OpsTest, ShapeRulesGiveTheTypesOfNodesFromTheirAttributes) {
  Value x = arg({{"b", 2}, {"s", 4}, {"d", 6}});
  Value i = arg({{"b", 2}, {"k", 3}}, kS32);
  softmax(dot(x, arg({{"d", 6}, {"f", 3}}), "d"), "f");
  gather(x, i, "s");
  top_k(x, "s", 2, "k");
  sort({x, cumsum(x, "s")}, "d");
  merge_axes(split_axis(x, "d", {{"h", 2}, {"e", -1}}), "b e", "n");
  split(pad(x, "s", 1, 2), "s", {3, 4});
  rename(dynamic_index(x, "s", arg({}, kS32)), "d", "e");
  random_normal(threefry(rng_key("w", arg({{"word", 2}}, kU32)), element_counters(g_, {{"d", 6}}, 0, 0)));
  int checked = 0;
  for (Node* node : g_.root().nodes()) {
    InferContext context{node->op, node->operands, node->attrs, node->scope, node->where};
    EXPECT_EQ(op_def(node->op).infer(context), node->results) << name(node->op);
    ++checked;
  }
  EXPECT_GT(checked, 40);
}

// ---- results ----

TEST_F(OpsTest, ElementwiseAlignsAxesByNameToTheWidestOperand) {
  Value a = arg({{"b", 2}, {"d", 3}});
  Value b = arg({{"d", 3}, {"s", 4}, {"b", 2}});
  EXPECT_EQ(type_of(a + b), "f32[d=3 s=4 b=2]");
  EXPECT_EQ(type_of(b * a), "f32[d=3 s=4 b=2]");
  EXPECT_EQ(type_of(less(a, 1)), "i1[b=2 d=3]");
  EXPECT_EQ(type_of(1 - a), "f32[b=2 d=3]");
  EXPECT_EQ(type_of(select(less(arg({{"s", 4}}), 0), b, -1e30)), "f32[d=3 s=4 b=2]");
  EXPECT_EQ(type_of(clamp(0, a, 1)), "f32[b=2 d=3]");
}

TEST_F(OpsTest, ElementwiseNodesHaveOperandsOfOneShape) {
  Value sum = arg({{"b", 2}, {"d", 3}}) + arg({{"d", 3}, {"s", 4}, {"b", 2}});
  EXPECT_EQ(sum.node().operands[0].type(), sum.node().operands[1].type());
  EXPECT_EQ(sum.node().operands[0].node().op, Op::kBroadcast);
  EXPECT_EQ(sum.node().operands[0].node().operands[0].node().op, Op::kTranspose);
}

TEST_F(OpsTest, BuildersWithNothingToDoGiveBackTheirOperand) {
  Value x = arg({{"b", 2}, {"d", 3}});
  EXPECT_EQ(transpose(x, "b d"), x);
  EXPECT_EQ(convert(x, kF32), x);
  EXPECT_EQ(bitcast(x, kF32), x);
  EXPECT_EQ(broadcast(x, x.shape()), x);
  EXPECT_EQ(reshape(x, x.shape()), x);
  EXPECT_EQ(rename(x, "b", "b"), x);
  EXPECT_EQ(slice(x, "b", 0, 2), x);
  EXPECT_EQ(pad(x, "b", 0, 0), x);
  EXPECT_EQ(concatenate({x}, "b"), x);
  Value scalar = arg({});
  EXPECT_EQ(reduce_sum(scalar, ""), scalar);
}

TEST_F(OpsTest, DotHasBatchThenLhsThenRhsAxes) {
  Value x = arg({{"b", 2}, {"h", 5}, {"s", 3}, {"d", 4}});
  Value y = arg({{"h", 5}, {"d", 4}, {"t", 6}, {"b", 2}});
  EXPECT_EQ(type_of(dot(x, y, "d")), "f32[b=2 h=5 s=3 t=6]");
  EXPECT_EQ(type_of(dot(x, y, "d h")), "f32[b=2 s=3 t=6]");
  EXPECT_EQ(type_of(dot(x, arg({{"d", 4}}), "d", {.out = DType::kF64})), "f64[b=2 h=5 s=3]");
  EXPECT_EQ(type_of(dot(arg({{"m", 2}}), arg({{"n", 3}}), "")), "f32[m=2 n=3]");
}

TEST_F(OpsTest, DotCarriesThePrecisionOfTheGraphUnlessToldAnother) {
  g_.precision = Precision::kHigh;
  Value x = arg({{"d", 4}});
  EXPECT_EQ(dot(x, x, "d").node().attr<DotAttrs>().precision, Precision::kHigh);
  EXPECT_EQ(dot(x, x, "d", {.precision = Precision::kHighest}).node().attr<DotAttrs>().precision, Precision::kHighest);
}

TEST_F(OpsTest, ShapesOfMovements) {
  Value x = arg({{"b", 2}, {"s", 4}, {"d", 6}});
  EXPECT_EQ(type_of(split_axis(x, "d", {{"h", -1}, {"e", 3}})), "f32[b=2 s=4 h=2 e=3]");
  EXPECT_EQ(type_of(merge_axes(x, "d b", "n")), "f32[s=4 n=12]");
  EXPECT_EQ(type_of(merge_axes(x, "s b", "n")), "f32[n=8 d=6]");
  EXPECT_EQ(type_of(concatenate({x, transpose(slice(x, "s", 1, 3), "d s b")}, "s")), "f32[b=2 s=6 d=6]");
  EXPECT_EQ(type_of(slice(x, "d", 1, 6, 2)), "f32[b=2 s=4 d=3]");
  EXPECT_EQ(type_of(pad(x, "s", 2, 1)), "f32[b=2 s=7 d=6]");
  EXPECT_EQ(type_of(dynamic_slice(x, "s", arg({}, kS32), 3)), "f32[b=2 s=3 d=6]");
  EXPECT_EQ(type_of(dynamic_index(x, "s", arg({}, kS32))), "f32[b=2 d=6]");
  EXPECT_EQ(type_of(squeeze(expand(x, "l"), "l")), type_of(x));
  EXPECT_EQ(type_of(expand(x, "l")), "f32[l=1 b=2 s=4 d=6]");
  EXPECT_EQ(type_of(split(x, "s", {1, 0, 3})[2]), "f32[b=2 s=3 d=6]");
}

TEST_F(OpsTest, ShapesOfDataDependentMovement) {
  Value table = arg({{"v", 9}, {"d", 4}});
  EXPECT_EQ(type_of(gather(table, arg({{"b", 2}, {"s", 3}}, kS32), "v")), "f32[b=2 s=3 d=4]");
  Value x = arg({{"b", 2}, {"s", 3}, {"e", 8}});
  EXPECT_EQ(type_of(gather(x, arg({{"b", 2}, {"s", 3}, {"k", 2}}, kS32), "e")), "f32[b=2 s=3 k=2]");
  EXPECT_EQ(type_of(gather(x, arg({{"e", 5}}, kS32), "e")), "f32[e=5 b=2 s=3]");
  TopK top = top_k(x, "s", 2, "k");
  EXPECT_EQ(type_of(top.values), "f32[b=2 k=2 e=8]");
  EXPECT_EQ(type_of(top.indices), "i32[b=2 k=2 e=8]");
  EXPECT_EQ(type_of(one_hot(arg({{"b", 2}}, kS32), {"e", 8}, DType::kBF16)), "bf16[b=2 e=8]");
  EXPECT_EQ(type_of(argmax(x, "e")), "i32[b=2 s=3]");
}

TEST_F(OpsTest, SumsOfNarrowFloatsAreFloat32Inside) {
  Value sum = reduce_sum(arg({{"d", 4}}, DType::kBF16), "d");
  EXPECT_EQ(sum.dtype(), DType::kBF16);
  EXPECT_EQ(sum.node().operands[0].node().op, Op::kReduceSum);
  EXPECT_EQ(sum.node().operands[0].dtype(), kF32);
  EXPECT_EQ(reduce_max(arg({{"d", 4}}, DType::kBF16), "d").node().op, Op::kReduceMax);
}

TEST_F(OpsTest, CumsumTakesLogarithmicallyManySteps) {
  int64_t before = g_.node_count();
  cumsum(arg({{"t", 1024}}), "t");
  EXPECT_LE(g_.node_count() - before, 1 + 4 * 10);
}

// ---- misuse ----

// Messages name the op, the operands with their axes, and this file.
testing::Matcher<const std::string&> says(const std::string& op, const std::string& what, int line) {
  return AllOf(HasSubstr(op + ": "), HasSubstr(what), HasSubstr("ops_test.cc:" + std::to_string(line)));
}
#define EXPECT_REFUSED(expression, op, what) \
  EXPECT_THAT([&] { (void)(expression); }, ThrowsMessage<GraphError>(says(op, what, __LINE__)))

TEST_F(OpsTest, MisfitAxesAreNamedWithSizesTypesScopeAndLine) {
  Value x = arg({{"b", 2}, {"d", 2048}});
  Value w = arg({{"d", 1536}});
  Scope scope(g_, "decoder");
  Scope inner(g_, "mla");
  EXPECT_REFUSED(x + w, "stablehlo.add", "axis 'd' is 2048 in one operand and 1536 in another");
  EXPECT_REFUSED(x + w, "stablehlo.add", "f32[b=2 d=2048], f32[d=1536]; in decoder/mla");
  EXPECT_REFUSED(dot(x, w, "d"), "stablehlo.dot_general", "axis 'd' is 2048 on lhs, 1536 on rhs");
  EXPECT_REFUSED(x * arg({{"e", 3}, {"d", 2048}}), "stablehlo.multiply", "axis 'e' is not in [b=2 d=2048]");
  EXPECT_REFUSED(dot(x, w, "e"), "stablehlo.dot_general", "no axis 'e' on lhs");
  EXPECT_REFUSED(dot(x, w, "b"), "stablehlo.dot_general", "no axis 'b' on rhs");
  EXPECT_REFUSED(reduce_sum(x, "b q"), "stablehlo.reduce", "no axis 'q'; operands f32[b=2 d=2048]");
  EXPECT_REFUSED(transpose(x, "d"), "stablehlo.transpose", "the order 'd' does not name every axis");
  EXPECT_REFUSED(transpose(x, "d d"), "stablehlo.transpose", "axis 'd' is named twice");
}

TEST_F(OpsTest, ElementTypesAreNeverConvertedUnasked) {
  Value x = arg({{"d", 4}});
  Value h = arg({{"d", 4}}, DType::kBF16);
  Value i = arg({{"d", 4}}, kS32);
  EXPECT_REFUSED(x + h, "stablehlo.add", "element types float32 and bfloat16 differ");
  EXPECT_REFUSED(dot(x, h, "d"), "stablehlo.dot_general", "element types float32 and bfloat16 differ");
  EXPECT_REFUSED(scatter_add(x, i, rename(h, "d", "d"), "d"), "stablehlo.scatter", "differ");
  EXPECT_REFUSED(concatenate({x, h}, "d"), "stablehlo.concatenate", "the element types differ");
  EXPECT_REFUSED(i * 0.5, "stablehlo.constant", "0.5 is not a value of type int32");
  EXPECT_REFUSED(i + 4e9, "stablehlo.constant", "is not a value of type int32");
  EXPECT_REFUSED(exp(i), "stablehlo.exponential", "takes floats");
  EXPECT_REFUSED(-arg({}, DType::kU32), "stablehlo.negate", "signed");
  EXPECT_REFUSED(logical_and(x, x), "stablehlo.and", "takes bools or integers");
  EXPECT_REFUSED(less(x, 0) + less(x, 1), "stablehlo.add", "numbers, not bools");
  EXPECT_REFUSED(reduce_sum(less(x, 0), ""), "stablehlo.reduce", "numbers, not bools");
  EXPECT_REFUSED(reduce_or(x, ""), "stablehlo.reduce", "takes bools");
  EXPECT_REFUSED(select(x, x, x), "stablehlo.select", "the condition must be bool");
  EXPECT_REFUSED(gather(x, x, "d"), "stablehlo.gather", "indices must be integers");
  EXPECT_REFUSED(bitcast(x, DType::kBF16), "stablehlo.bitcast_convert", "the bits of float32");
  EXPECT_REFUSED(dynamic_slice(x, "d", arg({}), 1), "stablehlo.dynamic_slice", "integer scalar");
  EXPECT_REFUSED(reduce_mean(i, ""), "stablehlo.reduce", "a mean is of floats");
}

TEST_F(OpsTest, NullValuesAndBareNumbersAreRefused) {
  Value x = arg({{"d", 4}});
  EXPECT_THAT([&] { (void)(x + Value()); },
              ThrowsMessage<GraphError>(AllOf(HasSubstr("an operand is null"), HasSubstr("ops_test.cc:"))));
  EXPECT_REFUSED(reduce_sum(Value(), ""), "stablehlo.reduce", "an operand is null");
  EXPECT_REFUSED(dot(x, Value(), "d"), "stablehlo.dot_general", "operands f32[d=4], (null)");
  EXPECT_REFUSED(pow(2, 3), "stablehlo.power", "numbers only");
  EXPECT_REFUSED(select(less(x, 0), 1, 0), "stablehlo.select", "numbers only");
}

TEST_F(OpsTest, ValuesOfAnotherGraphOrOfAClosedRegionAreRefused) {
  Graph other;
  Value x = arg({{"d", 4}});
  Value foreign = other.arg("y", x.type());
  EXPECT_REFUSED(x + foreign, "stablehlo.add", "an operand belongs to another graph");
  Value escaped;
  scan(g_, {.axis = "l", .length = 2}, {x}, {}, [&](Value, std::span<const Value> carry, std::span<const Value>) {
    escaped = carry[0] * 2;
    return ScanBody{{escaped}, {}};
  });
  EXPECT_REFUSED(x + escaped, "stablehlo.add", "region");
}

TEST_F(OpsTest, PartsThatDoNotFitAreRefused) {
  Value x = arg({{"b", 2}, {"d", 6}});
  Value zero = arg({}, kS32);
  EXPECT_REFUSED(slice(x, "d", 2, 7), "stablehlo.slice", "[2, 7) in steps of 1 is no part of axis 'd' of size 6");
  EXPECT_REFUSED(split(x, "d", {2, 3}), "split", "parts of [2, 3] do not make up axis 'd' of size 6");
  EXPECT_REFUSED(pad(x, "d", -1, 0), "stablehlo.pad", "axis 'd' has a negative padding");
  EXPECT_REFUSED(split_axis(x, "d", {{"h", 4}, {"e", -1}}), "stablehlo.reshape", "axis 'd' of size 6 does not split");
  EXPECT_REFUSED(split_axis(x, "d", {{"h", -1}, {"e", -1}}), "stablehlo.reshape", "'h' and 'e' are both left open");
  EXPECT_REFUSED(split_axis(x, "d", {{"b", 2}, {"e", 3}}), "stablehlo.reshape", "axis 'b' stands twice");
  EXPECT_REFUSED(expand(x, "b"), "stablehlo.reshape", "axis 'b' stands twice");
  EXPECT_REFUSED(squeeze(x, "b"), "stablehlo.reshape", "axis 'b' to be dropped is 2, not 1");
  EXPECT_REFUSED(reshape(x, {{"n", 11}}), "stablehlo.reshape", "12 elements do not fill f32[n=11]");
  EXPECT_REFUSED(rename(x, "b", "d"), "rename", "there is an axis 'd' already");
  EXPECT_REFUSED(broadcast(x, {{"b", 2}, {"s", 4}}), "stablehlo.broadcast_in_dim", "not all in [b=2 s=4]");
  EXPECT_REFUSED(concatenate({x, arg({{"b", 3}, {"d", 6}})}, "d"), "stablehlo.concatenate", "in more than axis 'd'");
  EXPECT_REFUSED(dynamic_slice(x, "d", zero, 7), "stablehlo.dynamic_slice", "a slice of 7 is more than axis 'd'");
  EXPECT_REFUSED(dynamic_update_slice(x, arg({{"d", 6}, {"b", 2}}), "d", zero), "stablehlo.dynamic_update_slice",
                 "the update's axes");
  EXPECT_REFUSED(top_k(x, "d", 7, "k"), "chlo.top_k", "the 7 largest of axis 'd' of size 6");
  EXPECT_REFUSED(gather(arg({{"v", 0}}), arg({{"s", 3}}, kS32), "v"), "stablehlo.gather", "axis 'v' has no elements");
  EXPECT_REFUSED(gather(x, arg({{"b", 3}}, kS32), "d"), "stablehlo.gather", "batch axis 'b' is 2 in the operand, 3");
  EXPECT_REFUSED(scatter_add(x, arg({{"s", 3}}, kS32), x, "d"), "stablehlo.scatter", "should be [s=3 b=2]");
  EXPECT_REFUSED(iota(g_, kS32, {{"d", 4}}, "e"), "stablehlo.iota", "no axis 'e' in [d=4]");
  EXPECT_REFUSED(shard(x, {{{"fsdp"}, {"fsdp"}}}), "sdy.sharding_constraint",
                 "mesh axis 'fsdp' splits the value twice");
  EXPECT_REFUSED(rng_key("w", arg({}, kS32)), "stablehlo.xor", "a seed is two words of u32");
  EXPECT_REFUSED(threefry({zero, zero}, {zero, zero}), "stablehlo.xor", "a random word is a u32");
  EXPECT_REFUSED(element_counters(g_, {{"l", 3}, {"d", int64_t{1} << 31}}, 0, 0), "stablehlo.iota", "a word does not");
  EXPECT_REFUSED(element_counters(g_, {{"l", 2}, {"d", 3}}, 1, (int64_t{1} << 32) - 1), "stablehlo.iota",
                 "from 4294967295 on");
}

TEST_F(OpsTest, CollectivesScaleTheAxesTheyWorkOn) {
  Value x = arg({{"s", 8}, {"d", 6}});
  CollectiveAttrs a{.mesh_axes = {"expert"}, .axis = 0, .concat_axis = 1, .group = 4};
  auto result = [&](Op op) { return type_of(g_.make(op, {x}, a, Where::current()).result()); };
  EXPECT_EQ(result(Op::kAllGather), "f32[s=32 d=6]");
  EXPECT_EQ(result(Op::kAllReduce), "f32[s=8 d=6]");
  EXPECT_EQ(result(Op::kReduceScatter), "f32[s=2 d=6]");
  EXPECT_EQ(result(Op::kAllToAll), "f32[s=2 d=24]");
  EXPECT_EQ(result(Op::kRingShift), "f32[s=8 d=6]");
  a.axis = 1;
  EXPECT_REFUSED(g_.make(Op::kReduceScatter, {x}, a, Where::current()), "stablehlo.reduce_scatter",
                 "axis 'd' of size 6 does not split over 4 devices");
}

}  // namespace
}  // namespace fathom
