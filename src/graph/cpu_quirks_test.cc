#include <gtest/gtest.h>

#include "graph/lower.h"
#include "graph/ops.h"

namespace fathom {
namespace {

// XLA:CPU is asked for some products in other words; other compilers are asked as the model was written.
TEST(CpuQuirks, ChangeTheCpusProductsAlone) {
  auto types_of_dots = [](Hardware hardware, Precision precision, int64_t rows) {
    Graph g;
    Value x = g.arg("x", {DType::kF32, Shape{{"s", 64}, {"d", rows}}}),
          y = g.arg("y", {DType::kF32, Shape{{"s", 64}, {"f", 3}}});
    g.root().results = {dot(x, y, "s", {.precision = precision})};
    std::unique_ptr<Graph> lowered = lower(g, {.target = {.hardware = hardware, .kernels = {}}});
    std::string out;
    for (const Node* node : lowered->root().nodes()) {
      if (node->op == Op::kDot) out += node->results[0].to_string();
    }
    return out;
  };
  for (Hardware other : {Hardware::kGpu, Hardware::kTpu}) {
    EXPECT_EQ(types_of_dots(other, Precision::kHighest, 5), "f32[d=5 f=3]");
    EXPECT_EQ(types_of_dots(other, Precision::kDefault, 500), "f32[d=500 f=3]");
  }
  EXPECT_EQ(types_of_dots(Hardware::kCpu, Precision::kDefault, 5), "f32[f=3 d=5]");
  EXPECT_EQ(types_of_dots(Hardware::kCpu, Precision::kDefault, 2), "f32[d=2 f=3]");
  EXPECT_EQ(types_of_dots(Hardware::kCpu, Precision::kHighest, 2), "f64[d=2 f=3]");
}

}  // namespace
}  // namespace fathom
