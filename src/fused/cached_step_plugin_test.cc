// The ops of a decoding step through their kernels, called from compiled programs, beside their references.
#include <gmock/gmock.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "fused/dequantize.h"
#include "fused/gemv.h"
#include "fused/latent_attention.h"
#include "graph/grad/gradients.h"
#include "graph/region_ops.h"
#include "runtime/pjrt_error.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

class StepKernels : public testing::TestWithParam<std::string> {
 protected:
  using Build = std::function<std::vector<Value>(Graph&)>;
  std::vector<HostArray> run(const Build& build, const std::vector<HostArray>& inputs, bool kernels) const {
    auto g = std::make_unique<Graph>();
    g->root().results = build(*g);
    return run_graph(std::move(g), inputs, kernels ? with_kernels_ : EmitOptions{}, client_);
  }
  void expect_same(const Build& build, const std::vector<HostArray>& inputs, double limit = 1e-5) const {
    const auto got = run(build, inputs, true), want = run(build, inputs, false);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_LT(max_difference(got[i], want[i]), limit) << "result " << i;
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
  EmitOptions with_kernels_ = with_kernels(*client_);
};

INSTANTIATE_TEST_SUITE_P(Cpu, StepKernels, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

const Axis kL{"l", 3}, kB{"b", 2}, kS{"s", 1}, kH{"h", 4}, kC{"c", 24}, kW{"w", 8}, kT{"t", 10}, kU{"u", 6},
    kD{"d", 20};

// Weights of every form that a layer has, as layers of stacks: one summed axis, two, a part of each head's matrix from
// either side; of a type of their own.
TEST_P(StepKernels, MultiplyWithTheLayersOfStacks) {
  const Shape x{kB, kS, kD}, w{kL, kH, {"nu", 5}, kD}, o{kL, kD, kH, kU}, wkv{kL, kH, {"nu", 11}, kC};
  auto build = [&](Graph& g) {
    Value rows = g.arg("x", {DType::kF32, x});
    std::vector<Value> stacks{g.arg("w", {DType::kF32, w}), convert(g.arg("o", {DType::kF32, o}), DType::kBF16),
                              g.arg("wkv", {DType::kF32, wkv})};
    auto body = [&](Value, std::span<const Value>, std::span<const Value> slices) {
      Value heads = gemv(rows, slices[0], "d");                                                    // [b s h nu]
      Value latent = gemv(heads, slices[2], "nu", WeightPart{0, 5});                               // [h b s c]
      Value out = rename(gemv(latent, slices[2], "c", WeightPart{5, 6}), "nu", "u");               // [h b s u]
      Value y = convert(gemv(out, slices[1], "h u", {}, DType::kBF16), DType::kF32) * (1.0 / 32);  // [b s d]
      return ScanBody{.carry = {}, .stack = {heads, latent, out, y}};
    };
    return scan(g, {.axis = "l", .length = kL.size}, {}, stacks, body).stack;
  };
  // Numbers up to some thousands in float32; the last one is rounded to eight bits.
  expect_same(build, {random_floats(x, 1), random_floats(w, 2), random_floats(o, 3, 0.1F), random_floats(wkv, 4)}, 0.1);
}

TEST_P(StepKernels, MultiplyWithTheMatricesThatRowsName) {
  const Shape x{kB, {"k", 3}, kD}, w{kL, {"e", 5}, {"f", 9}, kD}, which{kB, {"k", 3}};
  auto build = [&](Graph& g) {
    Value rows = g.arg("x", {DType::kF32, x}), stack = g.arg("w", {DType::kF32, w});
    Value names = g.arg("which", {DType::kS32, which});
    auto body = [&](Value, std::span<const Value>, std::span<const Value> slices) {
      return ScanBody{.carry = {}, .stack = {indexed_gemv(rows, slices[0], names)}};
    };
    return scan(g, {.axis = "l", .length = kL.size}, {}, {stack}, body).stack;
  };
  const std::vector<HostArray> inputs{random_floats(x, 1), random_floats(w, 2), integers(which, {4, 0, 4, 2, 4, 1})};
  expect_same(build, inputs);
  EXPECT_THAT(
      [&] {
        run(build, {inputs[0], inputs[1], integers(which, {4, 0, 5, 2, 4, 1})}, true);
      },
      testing::ThrowsMessage<PjrtError>(testing::HasSubstr("names a matrix that is not there")));
}

// The same with weights of eight bits, whose last group along a row is smaller.
TEST_P(StepKernels, MultiplyWithWeightsOfEightBits) {
  const Axis wide{"d", 200}, e{"e", 5};
  const Shape x{kB, kS, wide}, w{kL, {"f", 9}, wide}, experts{kL, e, {"f", 9}, wide}, which{kB, kS};
  auto build = [&](Graph& g) {
    Value rows = g.arg("x", {DType::kF32, x});
    auto eight_bits = [&](const char* name, const Shape& shape) {
      return convert(clamp(-127, g.arg(name, {DType::kF32, shape}), 127), DType::kS8);
    };
    const std::vector<Value> stacks{eight_bits("w", w), g.arg("scales", {DType::kF32, Shape{kL, {"f", 9}, {"g", 2}}}),
                                    eight_bits("e", experts),
                                    g.arg("e_scales", {DType::kF32, Shape{kL, e, {"f", 9}, {"g", 2}}})};
    Value names = g.arg("which", {DType::kS32, which});
    auto body = [&](Value, std::span<const Value>, std::span<const Value> slices) {
      Value plain = dequantize(slices[0], slices[1], DType::kF32),
            routed = dequantize(slices[2], slices[3], DType::kF32);
      Value y = gemv(rows, plain, "d");  // [b s f]
      return ScanBody{.carry = {}, .stack = {y, gemv(y, plain, "f"), indexed_gemv(rows, routed, names)}};
    };
    return scan(g, {.axis = "l", .length = kL.size}, {}, stacks, body).stack;
  };
  const Shape scales{kL, {"f", 9}, {"g", 2}}, e_scales{kL, e, {"f", 9}, {"g", 2}};
  expect_same(build,
              {random_floats(x, 1, 0.1F), random_floats(w, 2, 50), random_floats(scales, 3, 0.01F),
               random_floats(experts, 4, 50), random_floats(e_scales, 5, 0.01F), integers(which, {4, 1})},
              1e-4);
}

// Few rows in a program that is differentiated.
TEST(GemvDerivative, IsThatOfTheProduct) {
  const Shape x{kB, kD}, w{{"f", 9}, kD};
  auto g = std::make_unique<Graph>();
  Value a = g->arg("x", {DType::kF32, x}), b = g->arg("w", {DType::kF32, w});
  for (Value y : {gemv(a, b, "d"), dot(a, b, "d")}) {
    for (const Value& v : gradients(reduce_sum(y * y, ""), {a, b})) g->root().results.push_back(v);
  }
  const auto out = run_graph(std::move(g), {random_floats(x, 1), random_floats(w, 2)});
  EXPECT_LT(max_difference(out[0], out[2]), 1e-4);
  EXPECT_LT(max_difference(out[1], out[3]), 1e-4);
}

// A step as layers make it: rows into the cache of each layer, then attention over it.
class CachedStep : public StepKernels {
 protected:
  static std::vector<Value> build(Graph& g, int64_t new_tokens, bool one_place) {
    const Axis s{"s", new_tokens};
    Value rows = g.arg("rows", {DType::kF32, Shape{kB, s, kC}}), keys = g.arg("keys", {DType::kF32, Shape{kB, s, kW}});
    Value kv = g.arg("kv", {DType::kF32, Shape{kL, kB, kT, kC}}),
          rotated = g.arg("rotated", {DType::kF32, Shape{kL, kB, kT, kW}});
    Value places = g.arg("place", {DType::kS32, Shape{kB}});
    Value place = one_place ? squeeze(slice(places, "b", 0, 1), "b") : places;
    const Shape pairs{kB, s, kT};
    Value visible = less_equal(iota(g, DType::kS32, pairs, "t"), broadcast(place, pairs));
    auto body = [&](Value i, std::span<const Value> carry, std::span<const Value>) {
      LatentStacks stacks{put_rows(carry[1], i, rows, place), put_rows(carry[2], i, keys, place), i};
      Value q = broadcast(rows, Shape{kB, s, kH, kC}), q_rotated = broadcast(keys, Shape{kB, s, kH, kW});
      Value out = reduce_sum(latent_attention(q + carry[0], q_rotated, stacks, visible), "h b s c");
      return ScanBody{.carry = {carry[0] + out, stacks.kv, stacks.rotated}, .stack = {}};
    };
    return scan(g, {.axis = "l", .length = kL.size}, {constant(g, 0, {DType::kF32, {}}), kv, rotated}, {}, body).carry;
  }
  static std::vector<HostArray> inputs(int64_t new_tokens, const std::vector<int32_t>& places) {
    const Axis s{"s", new_tokens};
    return {random_floats(Shape{kB, s, kC}, 1, 0.3F), random_floats(Shape{kB, s, kW}, 2, 0.3F),
            random_floats(Shape{kL, kB, kT, kC}, 3, 0.3F), random_floats(Shape{kL, kB, kT, kW}, 4, 0.3F),
            integers(Shape{kB}, places)};
  }
};

INSTANTIATE_TEST_SUITE_P(Cpu, CachedStep, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(CachedStep, EqualsItsReferenceAtPlacesOfEachRow) {
  for (int64_t tokens : {1, 2}) {
    expect_same([&](Graph& g) { return build(g, tokens, false); }, inputs(tokens, {7, 2}), 1e-4);
  }
}

TEST_P(CachedStep, EqualsItsReferenceAtOnePlaceForAll) {
  expect_same([&](Graph& g) { return build(g, 3, true); }, inputs(3, {4, 4}), 1e-4);
}

TEST_P(CachedStep, FailsWhereTheCacheHasNoRoom) {
  EXPECT_THAT(
      [&] {
        run([&](Graph& g) { return build(g, 2, false); }, inputs(2, {3, 9}), true);
      },
      testing::ThrowsMessage<PjrtError>(testing::HasSubstr("does not fit into the stack")));
}

}  // namespace
}  // namespace fathom
