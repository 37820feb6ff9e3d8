#include <gtest/gtest.h>

#include "graph/lower.h"
#include "graph/manual.h"
#include "graph/ops.h"

namespace fathom {
namespace {

// XLA:CPU is asked for some products in other words; other compilers are asked as the model was written.
TEST(CompilerQuirks, ChangeTheCpusProductsAlone) {
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

// Without it XLA:GPU keeps a copy of every stack of layers whose matrices are gathered.
TEST(CompilerQuirks, HoldTheMatricesThatGpusGatherAndScatterToRows) {
  auto ops_on = [](Hardware hardware, std::string_view axis) {
    Graph g;
    g.partition = std::make_shared<const Partition>(Mesh{{{"fsdp", 2}}}, std::vector<AxisRule>{});
    const Sharding split{axis == "n" ? std::vector<std::vector<std::string>>{{"fsdp"}, {}}
                                     : std::vector<std::vector<std::string>>{{}, {"fsdp"}}};
    Value x = g.arg("x", {DType::kBF16, Shape{{"n", 4}, {"k", 6}}});
    g.root().results = manual(g, {x}, {split}, {split}, [&](std::span<const Value> local) {
      return std::vector<Value>{reduce_scatter(all_gather(local[0], axis, {"fsdp"}), axis, {"fsdp"})};
    });
    std::unique_ptr<Graph> lowered = lower(g, {.target = {.hardware = hardware, .kernels = {}}});
    std::vector<Op> ops;
    for (const Node* node : lowered->root().nodes()) {
      if (node->op != Op::kManual) continue;
      for (const Node* inner : node->regions[0]->nodes()) ops.push_back(inner->op);
    }
    return ops;
  };
  const std::vector<Op> plain{Op::kAllGather, Op::kReduceScatter};
  const std::vector<Op> held{Op::kCustomCall, Op::kAllGather, Op::kReduceScatter, Op::kCustomCall};
  EXPECT_EQ(ops_on(Hardware::kGpu, "k"), held);
  EXPECT_EQ(ops_on(Hardware::kGpu, "n"), plain);
  EXPECT_EQ(ops_on(Hardware::kTpu, "k"), plain);
}

}  // namespace
}  // namespace fathom
