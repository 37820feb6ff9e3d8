// Attention through the kernels, called from compiled programs, beside the composed reference on the same plugin.
#include <gmock/gmock.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "fused/flash_attention.h"
#include "graph/grad/gradients.h"
#include "graph/region_ops.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

struct Sizes {
  int64_t b = 2, s = 0, h = 3, w = 12, u = 8;
};

struct Inputs {
  Value q, k, v, segments, d;
};

class FlashKernel : public testing::TestWithParam<std::string> {
 protected:
  // Output and gradients by `body` with the kernels, then by the composed reference.
  template <typename Body>
  std::vector<std::vector<HostArray>> run(const Sizes& n, DType dtype, const Body& body) const {
    std::vector<std::vector<HostArray>> out;
    for (const EmitOptions& options : {with_kernels_, EmitOptions{}}) {
      auto g = std::make_unique<Graph>();
      Inputs in = inputs(*g, n, dtype);
      g->root().results = body(in);
      out.push_back(run_graph(std::move(g), values(n), options, client_));
    }
    return out;
  }

 private:
  static Shape wide(const Sizes& n, const std::string& token) {
    return Shape{{"b", n.b}, {token, n.s}, {"h", n.h}, {"w", n.w}};
  }
  static Shape value(const Sizes& n, const std::string& token) {
    return Shape{{"b", n.b}, {token, n.s}, {"h", n.h}, {"u", n.u}};
  }
  static Inputs inputs(Graph& g, const Sizes& n, DType dtype) {
    auto arg = [&](const char* name, const Shape& shape) { return convert(g.arg(name, {DType::kF32, shape}), dtype); };
    return {.q = arg("q", wide(n, "s")),
            .k = arg("k", wide(n, "t")),
            .v = arg("v", value(n, "t")),
            .segments = g.arg("segments", {DType::kS32, Shape{{"b", n.b}, {"s", n.s}}}),
            .d = arg("d", value(n, "s"))};
  }
  // Row 0: two documents and padding; the others: one document.
  static std::vector<HostArray> values(const Sizes& n) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < n.b * n.s; ++i) {
      ids.push_back(i >= n.s ? 1 : i < n.s / 3 ? 1 : i < n.s - n.s / 8 ? 2 : 0);
    }
    return {random_floats(wide(n, "s"), 1, 0.5F), random_floats(wide(n, "t"), 2), random_floats(value(n, "t"), 3),
            integers(Shape{{"b", n.b}, {"s", n.s}}, ids), random_floats(value(n, "s"), 4)};
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
  EmitOptions with_kernels_ = with_kernels(*client_);
};

INSTANTIATE_TEST_SUITE_P(Cpu, FlashKernel, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

std::vector<Value> output_and_gradients(const Inputs& in, Value out) {
  std::vector<Value> results{convert(out, DType::kF32)};
  for (Value d :
       gradients(reduce_sum(convert(out, DType::kF32) * convert(in.d, DType::kF32), ""), {in.q, in.k, in.v})) {
    results.push_back(convert(d, DType::kF32));
  }
  return results;
}

void expect_same(const std::vector<std::vector<HostArray>>& results, double limit) {
  for (size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_LT(max_difference(results[0][i], results[1][i]), limit) << "result " << i;
  }
}

TEST_P(FlashKernel, EqualsTheReferenceForwardAndBackward) {
  // A row of one token, rows that no block divides, and rows of several blocks.
  for (int64_t length : {1, 37, 128, 300}) {
    SCOPED_TRACE(length);
    auto results = run({.s = length}, DType::kF32, [](const Inputs& in) {
      return output_and_gradients(in, flash_attention(in.q, in.k, in.v, in.segments));
    });
    expect_same(results, 1e-4);  // float32 sums of up to 300 products of numbers up to 4
  }
}

TEST_P(FlashKernel, EqualsTheReferenceInBfloat16) {
  auto results = run({.s = 150}, DType::kBF16, [](const Inputs& in) {
    return output_and_gradients(in, flash_attention(in.q, in.k, in.v, in.segments));
  });
  // The reference rounds exponentials and score gradients to bfloat16 too: 2^-9 of numbers up to 10.
  expect_same(results, 0.1);
}

// Attention over and over, each time of what the last gave; the gradients go back through all of it.
TEST_P(FlashKernel, EqualsTheReferenceInAScanOfRematLayers) {
  auto results = run({.s = 70, .w = 8, .u = 8}, DType::kF32, [](const Inputs& in) {
    Graph& g = in.q.graph();
    auto layer = [&](Value, std::span<const Value> carry, std::span<const Value>) {
      auto made = remat(g, {"context"}, [&] {
        Value out = flash_attention(in.q, in.k, rename(carry[0], "s", "t"), in.segments);
        return std::vector<Value>{out + carry[0]};
      });
      return ScanBody{.carry = {made[0]}, .stack = {}};
    };
    Value first = rename(in.v, "t", "s");
    return output_and_gradients(in, scan(g, {.axis = "layer", .length = 3}, {first}, {}, layer).carry[0]);
  });
  expect_same(results, 1e-3);  // three layers, each adding up what the last gave
}

}  // namespace
}  // namespace fathom
