#include "config/resolve/hf_config.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

Resolved resolve_auto(const std::string& folder, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {"model_name=auto", "load_parameters_path=" + folder, "dataset_type=synthetic"};
  args.insert(args.end(), more.begin(), more.end());
  return resolve_config(args, {});
}

json v3() { return json::parse(read_file("tests/data/deepseek_v3/hf/config.json")); }

// The mistakes found in a config.json, as the error says them; empty when there is none.
std::string mistakes(const json& config) {
  Problems problems;
  hf_model_layer(config.dump(), "config.json", problems);
  try {
    problems.throw_if_any();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

std::string value_of(const json& config, std::string_view key) {
  Problems problems;
  Layer layer = hf_model_layer(config.dump(), "config.json", problems);
  const Setting* setting = find_setting(layer, key);
  return setting == nullptr ? "absent" : flow_text(setting->raw);
}

TEST(HfConfig, ReadsTheV2Architecture) {
  Config c = resolve_auto("tests/data/deepseek_v2/hf").config;
  EXPECT_EQ(c.emb_dim, 64);
  EXPECT_EQ(c.mlp_dim, 172);
  EXPECT_EQ(c.moe_mlp_dim, 48);
  EXPECT_EQ(c.num_decoder_layers, 3);
  EXPECT_EQ(c.first_num_dense_layers, 1);
  EXPECT_EQ(c.q_lora_rank, 0);
  EXPECT_EQ(c.qk_nope_head_dim, 24);
  EXPECT_EQ(c.v_head_dim, 20);
  EXPECT_EQ(c.vocab_size, 1792);
  EXPECT_EQ(c.num_experts, 8);
  EXPECT_EQ(c.num_experts_per_tok, 3);
  EXPECT_EQ(c.shared_experts, 2);
  EXPECT_EQ(c.routed_score_func, ScoreFunc::kSoftmax);
  EXPECT_FALSE(c.routed_bias);
  EXPECT_FALSE(c.norm_topk_prob);
  EXPECT_EQ(c.n_routing_groups, 0);
  EXPECT_DOUBLE_EQ(c.normalization_layer_epsilon, 1e-6);
  EXPECT_NEAR(c.softmax_scale_factor, 1.589626, 1e-6);
  EXPECT_EQ(c.rope_output_scale, 1.0);
}

TEST(HfConfig, ReadsTheV3Architecture) {
  Config c = resolve_auto("tests/data/deepseek_v3/hf").config;
  EXPECT_EQ(c.q_lora_rank, 144);
  EXPECT_EQ(c.routed_score_func, ScoreFunc::kSigmoid);
  EXPECT_TRUE(c.routed_bias);
  EXPECT_TRUE(c.norm_topk_prob);
  EXPECT_EQ(c.n_routing_groups, 4);
  EXPECT_EQ(c.topk_routing_group, 2);
  EXPECT_EQ(c.routing_group_score, GroupScore::kTop2Sum);
  EXPECT_EQ(c.routed_scaling_factor, 2.5);
  EXPECT_EQ(c.original_max_position_embeddings, 128);
  EXPECT_EQ(c.mtp_num_layers, 0);
}

TEST(HfConfig, ProtectsTheFilesValuesLikeAModelFile) {
  EXPECT_THROW(resolve_auto("tests/data/deepseek_v3/hf", {"base_emb_dim=64"}), ConfigError);
  EXPECT_EQ(resolve_auto("tests/data/deepseek_v3/hf", {"base_num_decoder_layers=2", "override_model_config=True"})
                .config.num_decoder_layers,
            2);
}

TEST(HfConfig, ReadsTheIndexerOfV32) {
  json config = json::parse(read_file("tests/data/deepseek_v32/hf/config.json"));
  EXPECT_EQ(mistakes(config), "");
  EXPECT_EQ(value_of(config, "use_indexer"), "true");
  EXPECT_EQ(value_of(config, "indexer_topk"), "8");
  EXPECT_THROW(resolve_auto("tests/data/deepseek_v32/hf"), ConfigError);
  Config c =
      resolve_auto("tests/data/deepseek_v32/hf", {"use_indexer=False", "override_model_config=True",
                                                  "indexer_topk=2048", "indexer_n_heads=64", "indexer_head_dim=128"})
          .config;
  EXPECT_FALSE(c.use_indexer);
}

TEST(HfConfig, RefusesFieldsItDoesNotKnow) {
  json config = v3();
  config["sliding_window"] = 128;
  config["rope_scaling"]["attention_factor"] = 2;
  EXPECT_THAT(mistakes(config), AllOf(HasSubstr("config.json: sliding_window: is a field that is not known"),
                                      HasSubstr("rope_scaling.attention_factor: is a field that is not known")));
  config = v3();
  config["index_topk"] = 8;
  EXPECT_THAT(mistakes(config), HasSubstr("index_topk"));
}

TEST(HfConfig, PassesOverFieldsOfTraining) {
  json config = v3();
  config["aux_loss_alpha"] = 0.5;
  config["attention_dropout"] = 0.1;
  config["quantization_config"] = {{"quant_method", "fp8"}};
  EXPECT_EQ(mistakes(config), "");
}

TEST(HfConfig, RefusesValuesThatAreNotBuilt) {
  for (auto [field, value] : std::vector<std::pair<std::string, json>>{{"hidden_act", "gelu"},
                                                                       {"attention_bias", true},
                                                                       {"tie_word_embeddings", true},
                                                                       {"moe_layer_freq", 2},
                                                                       {"scoring_func", "relu"},
                                                                       {"topk_method", "random"},
                                                                       {"model_type", "llama"},
                                                                       {"qk_head_dim", 7}}) {
    json config = v3();
    config[field] = value;
    EXPECT_THAT(mistakes(config), HasSubstr("config.json: " + field)) << value;
  }
  json v2 = json::parse(read_file("tests/data/deepseek_v2/hf/config.json"));
  v2["norm_topk_prob"] = true;
  EXPECT_EQ(mistakes(v2), "");
  v2["routed_scaling_factor"] = 16.0;
  EXPECT_THAT(mistakes(v2), HasSubstr("norm_topk_prob"));
}

TEST(HfConfig, NamesMissingFields) {
  json config = v3();
  config.erase("kv_lora_rank");
  config["rope_scaling"].erase("factor");
  EXPECT_THAT(mistakes(config),
              AllOf(HasSubstr("kv_lora_rank: is missing"), HasSubstr("rope_scaling.factor: is missing")));
}

TEST(HfConfig, ReadsBothSpellingsOfTheRope) {
  json config = v3();
  json rope = config["rope_scaling"];
  config.erase("rope_scaling");
  config.erase("rope_theta");
  rope.erase("type");
  rope["rope_type"] = "yarn";
  rope["rope_theta"] = 50000;
  config["rope_parameters"] = rope;
  EXPECT_EQ(mistakes(config), "");
  EXPECT_EQ(value_of(config, "rope_max_timescale"), "50000");
  EXPECT_EQ(value_of(config, "rope_factor"), "40");
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 10000}};
  EXPECT_EQ(mistakes(config), "");
  EXPECT_EQ(value_of(config, "rope_type"), "absent");
  config["rope_parameters"]["rope_type"] = "linear";
  EXPECT_THAT(mistakes(config), HasSubstr("rope_parameters.type: 'linear' is neither default nor yarn"));
}

TEST(HfConfig, TakesTheGroupMaximumForTheV2Method) {
  json config = json::parse(read_file("tests/data/deepseek_v2/hf/config.json"));
  config["topk_method"] = "group_limited_greedy";
  config["n_group"] = 4;
  config["topk_group"] = 2;
  EXPECT_EQ(value_of(config, "n_routing_groups"), "4");
  EXPECT_EQ(value_of(config, "routing_group_score"), "max");
  EXPECT_EQ(value_of(config, "routed_bias"), "false");
}

TEST(HfConfig, ChecksTheListOfLayerKinds) {
  json config = v3();
  config["mlp_layer_types"] = {"dense", "sparse", "sparse"};
  EXPECT_EQ(mistakes(config), "");
  config["mlp_layer_types"] = {"dense", "dense", "sparse"};
  EXPECT_THAT(mistakes(config), HasSubstr("mlp_layer_types: layer 1 contradicts first_k_dense_replace=1"));
}

TEST(HfConfig, NamesTheFileThatIsNotJson) {
  Problems problems;
  EXPECT_THROW(hf_model_layer("{", "here/config.json", problems), FormatError);
  EXPECT_THROW(hf_model_layer("[]", "here/config.json", problems), FormatError);
}

TEST(HfConfig, NeedsTheFolder) {
  EXPECT_THROW(resolve_config(std::vector<std::string>{"model_name=auto", "dataset_type=synthetic"}, {}), ConfigError);
  EXPECT_THROW(resolve_auto("tests"), ConfigError);
}

TEST(HfConfig, ADeepFileIsAnErrorAndNoOverflow) {
  Problems problems;
  const std::string deep = "{\"x\": " + std::string(1000000, '[') + std::string(1000000, ']') + "}";
  EXPECT_THROW(hf_model_layer(deep, "config.json", problems), FormatError);
}

}  // namespace
}  // namespace fathom
