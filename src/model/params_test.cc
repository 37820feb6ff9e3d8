#include "model/params.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "model/peer_arrays.h"
#include "model/test_models.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;

const Param& row(const std::vector<Param>& table, std::string_view name) {
  auto it = std::find_if(table.begin(), table.end(), [&](const Param& p) { return p.name == name; });
  if (it == table.end()) throw std::runtime_error("no row " + std::string(name));
  return *it;
}

int64_t parameters(const ModelConfig& m) { return count_params(m, param_table(m)).parameters; }

// The counts of the released models (MaxText's, which agree with the checkpoints'); router biases included.
TEST(ParamTable, FullSizesHaveTheReleasedParameterCounts) {
  EXPECT_EQ(parameters(deepseek2_16b()), 15706484224);
  EXPECT_EQ(parameters(deepseek32_671b()), 671877944064);
  ModelConfig m = deepseek3_671b();
  m.prediction_layers = 1;
  EXPECT_EQ(parameters(m), 682636487424);
}

TEST(ParamTable, ModulesForPredictionAreLayersBehindTheLastThatAreNeverStacked) {
  ModelConfig m = tiny_v3();
  m.prediction_layers = 2;
  const std::vector<Param> table = param_table(m);
  const Param& projection = row(table, "mtp.projection");
  EXPECT_EQ(projection.hf, "model.layers.{layer}.eh_proj.weight");
  EXPECT_THAT(projection.hf_sizes, ElementsAre(m.d, 2 * m.d));
  EXPECT_THAT(row(table, "embedding").hf_copies,
              ElementsAre("model.layers.4.embed_tokens.weight", "model.layers.5.embed_tokens.weight"));
  EXPECT_THAT(row(table, "decoder.logits").hf_copies,
              ElementsAre("model.layers.4.shared_head.head.weight", "model.layers.5.shared_head.head.weight"));
  auto path_of = [&](std::string_view name) {
    const std::vector<ParamArray> arrays = param_arrays(m, table);
    auto at = std::ranges::find(arrays, name, &ParamArray::name);
    return peer_array(m, table[at->row], *at, 1).path;
  };
  for (bool scan : {true, false}) {
    m.scan_layers = scan;
    EXPECT_EQ(path_of("mtp.0.final_norm"), "mtp_block.mtp_layer_1.mtp_1_final_norm.scale");
    EXPECT_EQ(path_of("mtp.1.mla.wq_a"), "mtp_block.mtp_layer_2.mtp_2_transformer_layer.self_attention.wq_a.kernel");
  }
}

TEST(ParamTable, CountsActiveParametersAndBytes) {
  ParamCount lite = count_params(deepseek2_16b(), param_table(deepseek2_16b()));
  EXPECT_EQ(lite.bytes, 4 * lite.parameters);
  // 58 of 64 experts in 26 layers do not take part.
  EXPECT_EQ(lite.parameters - lite.active, int64_t{58} * 26 * 3 * 2048 * 1408);
  ModelConfig half = deepseek3_671b();
  half.weight_dtype = DType::kBF16;
  ParamCount v3 = count_params(half, param_table(half));
  EXPECT_EQ(v3.bytes, 2 * v3.parameters + 2 * 58 * 256) << "router biases stay float32";
  EXPECT_NEAR(static_cast<double>(v3.active), 37.6e9, 0.1e9);
}

TEST(ParamTable, RowsMapToCheckpointMatricesWithoutTranspose) {
  ModelConfig m = deepseek3_671b();
  for (const Param& p : param_table(m)) {
    int64_t elements = 1;
    for (int64_t n : p.hf_sizes) elements *= n;
    if (p.hf.find("{expert}") != std::string::npos) elements *= m.experts;
    EXPECT_EQ(elements, p.type.shape.elements()) << p.name;
    EXPECT_EQ(p.logical.size(), static_cast<size_t>(p.type.shape.rank())) << p.name;
    std::vector<std::string> ours = p.type.shape.names(), theirs = split_names(p.peer_axes);
    EXPECT_THAT(theirs, ::testing::UnorderedElementsAreArray(ours)) << p.name;
    EXPECT_EQ(p.stack.has_value(), p.hf.find("{layer}") != std::string::npos) << p.name;
  }
}

TEST(ParamTable, ProjectionShapesAndNames) {
  std::vector<Param> table = param_table(deepseek3_671b());
  const Param& wq_b = row(table, "decoder.moe_layers.mla.wq_b");
  EXPECT_EQ(wq_b.type.to_string(), "f32[h=128 np=192 r=1536]");
  EXPECT_THAT(wq_b.hf_sizes, ElementsAre(24576, 1536));
  EXPECT_EQ(wq_b.hf, "model.layers.{layer}.self_attn.q_b_proj.weight");
  EXPECT_EQ(wq_b.peer, "decoder.moe_layers.self_attention.wq_b.kernel");
  EXPECT_EQ(wq_b.peer_axes, "r h np");
  EXPECT_EQ(wq_b.fan_in, 1536);
  const Param& wo = row(table, "decoder.dense_layers.mla.wo");
  EXPECT_THAT(wo.hf_sizes, ElementsAre(7168, 16384));
  EXPECT_EQ(wo.fan_in, 16384);
  const Param& down = row(table, "decoder.moe_layers.moe.experts.w_down");
  EXPECT_EQ(down.hf, "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight");
  EXPECT_EQ(down.peer, "decoder.moe_layers.DeepSeekMoeBlock_0.MoeBlock_0.wo");
  EXPECT_EQ(down.peer_axes, "e f d");
  const Param& bias = row(table, "decoder.moe_layers.moe.router_bias");
  EXPECT_FALSE(bias.trained);
  EXPECT_EQ(bias.peer_layer_axis, 0);
}

TEST(ParamTable, ScannedAndUnscannedArraysHoldTheSameElements) {
  ModelConfig m = tiny_v3();
  std::vector<Param> table = param_table(m);
  auto elements = [&](const std::vector<ParamArray>& arrays) {
    int64_t n = 0;
    std::set<std::string> names;
    for (const ParamArray& a : arrays) {
      n += a.type.shape.elements();
      EXPECT_EQ(a.logical.size(), static_cast<size_t>(a.type.shape.rank())) << a.name;
      EXPECT_TRUE(names.insert(a.name).second) << a.name;
    }
    return n;
  };
  std::vector<ParamArray> scanned = param_arrays(m, table);
  EXPECT_EQ(scanned.size(), table.size());
  m.scan_layers = false;
  std::vector<ParamArray> layered = param_arrays(m, table);
  EXPECT_EQ(elements(scanned), elements(layered));
  EXPECT_EQ(elements(scanned), count_params(m, table).parameters);
  auto it = std::find_if(layered.begin(), layered.end(),
                         [](const ParamArray& a) { return a.name == "decoder.moe_layers.2.moe.router"; });
  ASSERT_NE(it, layered.end());
  EXPECT_EQ(it->layer, 2);
}

TEST(ParamTable, AllDenseModelHasNoMoeRows) {
  ModelConfig m = tiny_v3();
  m.dense_layers = m.layers;
  EXPECT_EQ(stacks(m).size(), 1u);
  for (const Param& p : param_table(m)) EXPECT_FALSE(p.routed) << p.name;
}

// 2bt(...) formulas of MaxText's TFLOP count, by hand for the V2-Lite shape at 1,024 tokens.
TEST(Flops, FollowsThePeersFormula) {
  ModelConfig m = deepseek2_16b();
  FlopCount n = train_flops_per_token(m, 1024);
  double ffn = 6. * 2048 * 10944 + 26 * (2. * 2048 * 64 + 6. * 1408 * 2048 * (2 + 6));
  double attention_weights = 27 * (2. * 2048 * 16 * 192 + 2. * (2048. * 576 + 512. * 16 * 256) + 2. * 2048 * 16 * 128);
  EXPECT_DOUBLE_EQ(n.weights, 3 * (ffn + attention_weights + 2. * 2048 * 102400));
  EXPECT_DOUBLE_EQ(n.attention, 3 * 27 * (2. * 1024 * 16 * (192 + 128) / 2));
}

TEST(Flops, SparseAttentionCountsOnlyChosenKeys) {
  ModelConfig dense = deepseek3_671b(), sparse = deepseek32_671b();
  EXPECT_DOUBLE_EQ(train_flops_per_token(dense, 2048).total(), train_flops_per_token(sparse, 2048).total());
  EXPECT_LT(train_flops_per_token(sparse, 131072).total(), train_flops_per_token(dense, 131072).total());
}

}  // namespace
}  // namespace fathom
