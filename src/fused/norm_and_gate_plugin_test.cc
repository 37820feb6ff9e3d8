// The derivatives of rms_norm and gated_silu beside those of the same formulas from plain ops.
#include <gmock/gmock.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "fused/gated_silu.h"
#include "fused/rms_norm.h"
#include "graph/grad/gradients.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

const Shape kRows{{"b", 2}, {"s", 3}, {"d", 20}};
const Shape kScale{{"d", 20}};

// Results and gradients of both forms, in float32, one after the other.
template <typename Fused, typename Plain>
std::vector<HostArray> compare(const Shape& second, DType dtype, const Fused& fused, const Plain& plain,
                               const EmitOptions& options = {},
                               const std::shared_ptr<const Client>& client = test_client()) {
  auto g = std::make_unique<Graph>();
  Value a = g->arg("a", {DType::kF32, kRows}), b = g->arg("b", {DType::kF32, second});
  Value d = g->arg("d", {DType::kF32, kRows});
  std::vector<Value> results;
  for (bool composed : {false, true}) {
    Value x = convert(a, dtype), y = convert(b, dtype);
    Value out = convert(composed ? plain(x, y) : fused(x, y), DType::kF32);
    results.push_back(out);
    for (const Value& v : gradients(reduce_sum(out * d, ""), {a, b})) results.push_back(v);
  }
  g->root().results = std::move(results);
  return run_graph(std::move(g), {random_floats(kRows, 1, 2), random_floats(second, 2), random_floats(kRows, 3)},
                   options, client);
}

void expect_same(const std::vector<HostArray>& results, double limit) {
  for (size_t i = 0; i < 3; ++i) EXPECT_LT(max_difference(results[i], results[i + 3]), limit) << "result " << i;
}

// Float32: sums of 20 numbers up to 10. Bfloat16: numbers up to 16 rounded twice or thrice on the way (2^-9 each time).
double limit(DType dtype) { return dtype == DType::kF32 ? 1e-5 : 0.13; }

TEST(RmsNorm, HasTheDerivativeOfItsFormula) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    auto results = compare(
        kScale, dtype, [](Value x, Value scale) { return rms_norm(x, scale, "d", 0.3); },
        [](Value x, Value scale) {
          Value wide = convert(x, DType::kF32);
          return convert(wide * rsqrt(reduce_mean(wide * wide, "d") + 0.3), x.dtype()) * scale;
        });
    expect_same(results, limit(dtype));
  }
}

class GatedSilu : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Cpu, GatedSilu, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(GatedSilu, HasTheValueAndDerivativeOfItsFormulaWithTheKernelToo) {
  const std::shared_ptr<const Client> client = cpu_client(GetParam());
  for (const EmitOptions& options : {EmitOptions{}, with_kernels(*client)}) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      for (bool in_float32 : {false, true}) {
        DType inner = in_float32 ? DType::kF32 : dtype;
        auto results = compare(
            kRows, dtype, [&](Value gate, Value up) { return gated_silu(gate, up, in_float32); },
            [&](Value gate, Value up) {
              Value x = convert(gate, inner);
              return convert(x * logistic(x) * convert(up, inner), dtype);
            },
            options, client);
        expect_same(results, limit(dtype));
      }
    }
  }
}

TEST(RmsNorm, RefusesAScaleOfAnotherAxis) {
  Graph g;
  Value x = g.arg("x", {DType::kF32, kRows}), scale = g.arg("scale", {DType::kF32, Shape{{"c", 20}}});
  EXPECT_THROW(rms_norm(x, scale, "d", 1e-6), GraphError);
}

}  // namespace
}  // namespace fathom
