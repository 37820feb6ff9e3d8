// Cross entropy, AdamW and sums of squares through the kernels, called from compiled programs, beside the composed
// references on the same plugin.
#include <gmock/gmock.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "fused/adamw.h"
#include "fused/cross_entropy.h"
#include "fused/sum_of_squares.h"
#include "graph/grad/gradients.h"
#include "runtime/compiled_program.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

class WholeArrayKernels : public testing::TestWithParam<std::string> {
 protected:
  // The results of `build`, in float32, with the kernels, then by the composed references.
  template <typename Build>
  std::vector<std::vector<HostArray>> run(const std::vector<HostArray>& inputs, const Build& build) const {
    std::vector<std::vector<HostArray>> out;
    for (const EmitOptions& options : {with_kernels_, EmitOptions{}}) {
      auto g = std::make_unique<Graph>();
      for (const Value& v : build(*g)) g->root().results.push_back(convert(v, DType::kF32));
      out.push_back(run_graph(std::move(g), inputs, options, client_));
    }
    return out;
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
  EmitOptions with_kernels_ = with_kernels(*client_);
};

INSTANTIATE_TEST_SUITE_P(Cpu, WholeArrayKernels, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

void expect_same(const std::vector<std::vector<HostArray>>& results, double limit) {
  for (size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_LT(max_difference(results[0][i], results[1][i]), limit) << "result " << i;
  }
}

// ---- cross entropy ----

const Axis kB{"b", 2}, kS{"s", 3};
constexpr int32_t kOutside = 1000;

// A loss that uses both numbers, one of them squared as the z-loss does, with one row masked.
std::vector<Value> loss_and_gradient(Graph& g, int64_t vocab, DType dtype) {
  Value x = g.arg("logits", {DType::kF32, Shape{kB, kS, {"v", vocab}}});
  Value targets = g.arg("targets", {DType::kS32, Shape{kB, kS}});
  Value mask = g.arg("mask", {DType::kF32, Shape{kB, kS}});
  Value logits = convert(x, dtype);
  auto [log_z, chosen] = cross_entropy(logits, targets);
  Value loss = reduce_sum((log_z - chosen + log_z * log_z * 0.1) * mask, "");
  return {log_z, chosen, gradients(loss, {x})[0]};
}

TEST_P(WholeArrayKernels, CrossEntropyEqualsTheReferenceForwardAndBackward) {
  for (int64_t vocab : {1, 17, 300}) {
    SCOPED_TRACE(vocab);
    const auto last = static_cast<int32_t>(vocab - 1);
    std::vector<HostArray> in{random_floats(Shape{kB, kS, {"v", vocab}}, 1, 3),
                              integers(Shape{kB, kS}, {0, last, kOutside, -1, last / 2, 0}),
                              floats(Shape{kB, kS}, {1, 1, 1, 0, 1, 1})};
    expect_same(run(in, [&](Graph& g) { return loss_and_gradient(g, vocab, DType::kF32); }), 1e-5);
    // One step of bfloat16 for numbers up to 2.
    expect_same(run(in, [&](Graph& g) { return loss_and_gradient(g, vocab, DType::kBF16); }), 0.008);
  }
}

TEST_P(WholeArrayKernels, TheGradientTakesTheMemoryOfTheLogits) {
  constexpr int64_t kVocab = 4096, kWidth = 8;
  auto g = std::make_unique<Graph>();
  Value x = g->arg("x", {DType::kF32, Shape{kB, kS, {"d", kWidth}}});
  Value w = g->arg("w", {DType::kF32, Shape{{"v", kVocab}, {"d", kWidth}}});
  Value targets = g->arg("targets", {DType::kS32, Shape{kB, kS}});
  auto [log_z, chosen] = cross_entropy(dot(x, w, "d"), targets);
  g->root().results = {gradients(reduce_sum(log_z - chosen, ""), {x})[0]};
  Executable made = Executable::compile(client_, emit(test_program(std::move(g)), with_kernels_), {});
  const int64_t logits = kB.size * kS.size * kVocab * 4;
  EXPECT_GE(made.program().memory_stats().temp, logits);
  EXPECT_LT(made.program().memory_stats().temp, 2 * logits);
}

// ---- the optimizer ----

const Shape kArray{{"l", 3}, {"d", 37}};

struct OptimizerInputs {
  OptimizerInputs(Graph& g, const Shape& shape) {
    auto array = [&](const char* name) { return g.arg(name, {DType::kF32, shape}); };
    auto scalar = [&](const char* name) { return g.arg(name, {DType::kF32, {}}); };
    gradient = array("gradient");
    state = {array("parameter"), array("mu"), array("nu")};
    scalars = {scalar("rate"), scalar("mu_scale"), scalar("nu_scale"), scalar("clip")};
  }
  static std::vector<HostArray> values() {
    std::vector<HostArray> out;
    for (uint32_t seed = 1; seed <= 4; ++seed) out.push_back(random_floats(kArray, seed));
    for (float& x : out[3].mutable_view<float>()) x *= x;
    for (float x : {0.01F, 1.3F, 1.1F, 0.6F}) out.push_back(floats({}, {x}));
    return out;
  }

  Value gradient;
  AdamState state;
  AdamScalars scalars;
};

struct Types {
  DType gradient = DType::kF32, parameter = DType::kF32, mu = DType::kF32;
};

std::vector<Value> optimizer(const OptimizerInputs& in, const Types& t) {
  Value gradient = convert(in.gradient, t.gradient);
  AdamState state{convert(in.state.parameter, t.parameter), convert(in.state.mu, t.mu),
                  convert(in.state.nu, t.parameter)};
  AdamStep next = adamw({.eps = 1e-6, .eps_root = 1e-7}, state, gradient, in.scalars);
  return {next.state.parameter, next.state.mu, next.state.nu, next.squares, sum_of_squares(gradient)};
}

TEST_P(WholeArrayKernels, AdamWEqualsTheReference) {
  auto results = run(OptimizerInputs::values(), [](Graph& g) { return optimizer({g, kArray}, {}); });
  expect_same(results, 5e-5);  // float32 sums of some hundred squares
}

TEST_P(WholeArrayKernels, AdamWEqualsTheReferenceInMixedTypes) {
  constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
  auto results = run(OptimizerInputs::values(), [&](Graph& g) {
    OptimizerInputs in(g, kArray);
    std::vector<Value> all;
    for (DType gradient : kTypes) {
      for (DType parameter : kTypes) {
        for (DType mu : kTypes) {
          for (const Value& v : optimizer(in, {gradient, parameter, mu})) all.push_back(v);
        }
      }
    }
    return all;
  });
  // One step of bfloat16 for numbers up to 4, and what that is in a sum of squares.
  expect_same(results, 0.13);
}

// Without aliasing through the call, XLA would copy each donated array.
TEST_P(WholeArrayKernels, AdamWWorksInDonatedMemory) {
  const Shape shape{{"d", 1 << 16}};
  auto g = std::make_unique<Graph>();
  g->root().results = optimizer({*g, shape}, {});
  Program program = test_program(std::move(g));
  for (int i = 0; i < 3; ++i) program.signature.args[static_cast<size_t>(i) + 1].donated_to = i;
  Executable made = Executable::compile(client_, emit(program, with_kernels_), {});
  const int64_t bytes = shape.elements() * 4;
  EXPECT_EQ(made.program().memory_stats().alias, 3 * bytes);
  EXPECT_LT(made.program().memory_stats().temp, bytes);
}

}  // namespace
}  // namespace fathom
