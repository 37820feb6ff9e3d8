// The output head's scores in blocks of tokens, beside logits that exist all at once.
#include <gtest/gtest.h>

#include "../tests/support/kernels.h"
#include "../tests/support/run_graph.h"
#include "fused/head_loss.h"
#include "graph/grad/gradients.h"
#include "runtime/compiled_program.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

const Axis kB{"b", 3}, kS{"s", 7}, kV{"v", 50}, kD{"d", 16};

// A loss of both numbers of each token, and its gradients by x and w. Without blocks: all logits at once.
std::vector<HostArray> loss_and_gradients(int64_t blocks, DType dtype, const EmitOptions& options) {
  auto g = std::make_unique<Graph>();
  const Shape xs{kB, kS, kD}, ws{kV, kD}, rows{kB, kS};
  Value x = g->arg("x", {DType::kF32, xs}), w = g->arg("w", {DType::kF32, ws});
  Value targets = g->arg("targets", {DType::kS32, rows}), mask = g->arg("mask", {DType::kF32, rows});
  Value xt = convert(x, dtype), wt = convert(w, dtype);
  RowScores scores = blocks == 0 ? cross_entropy(dot(xt, wt, "d", {.out = DType::kF32}), targets)
                                 : head_loss(xt, wt, targets, {.blocks = blocks});
  Value loss = reduce_sum((scores.log_z - scores.chosen + scores.log_z * scores.log_z * 0.1) * mask, "");
  g->root().results = {scores.log_z, scores.chosen};
  for (const Value& d : gradients(loss, {x, w})) g->root().results.push_back(convert(d, DType::kF32));
  std::vector<int32_t> tokens;
  std::vector<float> counts;
  for (int32_t i = 0; i < 21; ++i) {
    tokens.push_back(i * 17 % 50);
    counts.push_back(i % 4 == 0 ? 0.0F : 1.0F);
  }
  return run_graph(std::move(g),
                   {random_floats(xs, 1), random_floats(ws, 2), integers(rows, tokens), floats(rows, counts)}, options);
}

// 21 tokens: 3 divides them, 4 does not, 21 is a token a block.
TEST(HeadLoss, BlocksChangeNeitherScoresNorGradients) {
  const EmitOptions kernels = with_kernels(*test_client());
  for (const EmitOptions& options : {kernels, EmitOptions{}}) {
    const std::vector<HostArray> whole = loss_and_gradients(0, DType::kF32, options);
    for (int64_t blocks : {1, 3, 4, 21}) {
      const std::vector<HostArray> got = loss_and_gradients(blocks, DType::kF32, options);
      for (size_t i = 0; i < whole.size(); ++i) {
        EXPECT_LT(max_difference(got[i], whole[i]), 1e-5) << blocks << " blocks, result " << i;
      }
    }
  }
}

// The sum over the blocks is float32: a sum in bfloat16 of 21 parts would be off by far more.
TEST(HeadLoss, TheGradientOfANarrowWeightIsRoundedOnce) {
  const std::vector<HostArray> whole = loss_and_gradients(0, DType::kBF16, {});
  const std::vector<HostArray> got = loss_and_gradients(21, DType::kBF16, {});
  float largest = 0;
  for (float v : whole[3].view<float>()) largest = std::max(largest, std::abs(v));
  EXPECT_LT(max_difference(got[3], whole[3]), 0.005 * largest);
}

TEST(HeadLoss, TheNumberOfBlocksKeepsABlockSmall) {
  const Shape tokens{{"b", 1}, {"s", 4096}};
  EXPECT_EQ(loss_blocks(tokens, 129280, DType::kF32, 0, nullptr), 9) << "2.1 GB of logits";
  EXPECT_EQ(loss_blocks(tokens, 129280, DType::kBF16, 0, nullptr), 5);
  EXPECT_EQ(loss_blocks(tokens, 1000, DType::kF32, 0, nullptr), 1);
  EXPECT_EQ(loss_blocks(tokens, 1000, DType::kF32, 16, nullptr), 16) << "as given";
  EXPECT_EQ(loss_blocks(Shape{{"b", 1}, {"s", 2}}, 1000, DType::kF32, 16, nullptr), 2) << "a token at least";
  EXPECT_EQ(loss_blocks(tokens, 129280, DType::kF32, 0, nullptr, 7168), 1) << "the sum over blocks has 3.7 GB";
  EXPECT_EQ(loss_blocks(tokens, 129280, DType::kF32, 0, nullptr, 2048), 9) << "it has 1.1 GB";
  EXPECT_EQ(loss_blocks(tokens, 129280, DType::kF32, 4, nullptr, 7168), 4) << "as given";
  const Partition mesh({{{"fsdp", 4}, {"tensor", 2}}},
                       {{"activation_batch", {"fsdp"}}, {"activation_vocab", {"tensor"}}});
  EXPECT_EQ(loss_blocks(Shape{{"b", 4}, {"s", 4096}}, 129280, DType::kF32, 0, &mesh), 5) << "of one device's part";
}

}  // namespace
}  // namespace fathom
