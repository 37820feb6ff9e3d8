#include "model/left_off.h"

#include <gtest/gtest.h>

#include "model/test_models.h"

namespace fathom {
namespace {

TEST(LeftOff, IndexersOfARunWithoutThem) {
  const ModelConfig plain = deepseek3_671b(), sparse = deepseek32_671b();
  const LeftOff without(plain, param_table(plain), {}), with(sparse, param_table(sparse), {});
  for (const char* leaf : {"wq_b.weight", "wk.weight", "k_norm.weight", "k_norm.bias", "weights_proj.weight"}) {
    const std::string name = std::string("model.layers.7.self_attn.indexer.") + leaf;
    EXPECT_TRUE(without(name)) << name;
    EXPECT_FALSE(with(name)) << name;
  }
  EXPECT_FALSE(without("model.layers.7.self_attn.indexer.wq_c.weight"));
  EXPECT_FALSE(without("model.layers.x.self_attn.indexer.wk.weight"));
  EXPECT_FALSE(without("layers.7.self_attn.indexer.wk.weight"));
}

TEST(LeftOff, LayersForMultiTokenPredictionBehindTheLast) {
  const ModelConfig config = deepseek3_671b();
  const LeftOff left_off(config, param_table(config),
                         {"model.layers.61.eh_proj.weight", "model.layers.60.eh_proj.weight",
                          "model.layers.61x.eh_proj.weight", "model.layers.99999999999999999999.eh_proj.weight"});
  EXPECT_TRUE(left_off("model.layers.61.eh_proj.weight"));
  EXPECT_TRUE(left_off("model.layers.61.mlp.experts.3.up_proj.weight"));
  EXPECT_FALSE(left_off("model.layers.60.eh_proj.weight"));
  EXPECT_FALSE(left_off("model.layers.61"));
  EXPECT_FALSE(left_off("model.layers.61x.eh_proj.weight"));
  EXPECT_FALSE(left_off("model.layers.99999999999999999999.eh_proj.weight"));
  EXPECT_FALSE(left_off("model.layers..eh_proj.weight"));
}

TEST(LeftOff, ModulesThatTheRunHasAreChecked) {
  ModelConfig config = deepseek3_671b();
  config.prediction_layers = 1;
  const LeftOff left_off(config, param_table(config),
                         {"model.layers.61.eh_proj.weight", "model.layers.62.eh_proj.weight"});
  EXPECT_FALSE(left_off("model.layers.61.eh_proj.weight"));
  EXPECT_FALSE(left_off("model.layers.61.what.weight"));
  EXPECT_TRUE(left_off("model.layers.61.self_attn.indexer.wk.weight"));
  EXPECT_TRUE(left_off("model.layers.62.what.weight"));
}

// A model cut down by its num_hidden_layers is another model.
TEST(LeftOff, LayersBehindTheLastThatAreLikeTheOthersAreNot) {
  const ModelConfig config = deepseek3_671b();
  const LeftOff left_off(config, param_table(config), {"model.layers.61.mlp.experts.3.up_proj.weight"});
  EXPECT_FALSE(left_off("model.layers.61.mlp.experts.3.up_proj.weight"));
  EXPECT_EQ(left_off.layer_of("model.layers.61.mlp.experts.3.up_proj.weight"), 61);
  EXPECT_EQ(left_off.layer_of("model.norm.weight"), std::nullopt);
}

TEST(LeftOff, StoredFrequenciesAndNothingElse) {
  const ModelConfig config = deepseek2_16b();
  const LeftOff left_off(config, param_table(config), {});
  EXPECT_TRUE(left_off("model.layers.3.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(left_off("model.layers.3.self_attn.q_a_proj.weight"));
  EXPECT_FALSE(left_off("model.embed_tokens.weight"));
  EXPECT_FALSE(left_off("model.extra.weight"));
}

}  // namespace
}  // namespace fathom
