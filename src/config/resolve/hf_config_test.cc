#include "config/resolve/hf_config.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

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
  const Config c = resolve_auto("tests/data/deepseek_v32/hf").config;
  EXPECT_TRUE(c.use_indexer);
  EXPECT_EQ(c.indexer_n_heads, 8);
  EXPECT_EQ(c.indexer_head_dim, 32);
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
  for (const auto& [field, value] : std::vector<std::pair<std::string, json>>{{"hidden_act", "gelu"},
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

TEST(HfConfig, PassesOverBookkeepingOfTheLibraryThatWroteIt) {
  json config = v3();
  config.update(json::parse(R"({"_attn_implementation_autoset": true, "tokenizer_class": "T", "torchscript": false,
      "unsloth_fixed": true, "is_decoder": false, "is_encoder_decoder": false, "add_cross_attention": false,
      "pruned_heads": {}, "do_sample": false, "temperature": 1.0, "top_k": 50, "max_length": 20, "prefix": null,
      "task_specific_params": null, "bad_words_ids": null, "sliding_window": null, "use_return_dict": true,
      "_experts_implementation": "grouped"})"));
  EXPECT_EQ(mistakes(config), "");
  for (const auto& [field, value] : std::vector<std::pair<std::string, json>>{
           {"is_encoder_decoder", true}, {"add_cross_attention", true}, {"pruned_heads", {{"0", {1}}}}}) {
    json wrong = config;
    wrong[field] = value;
    EXPECT_THAT(mistakes(wrong), HasSubstr("config.json: " + field)) << value;
  }
}

TEST(HfConfig, NamesTheFieldOfAValueThatCannotBe) {
  for (const auto& [field, value] :
       std::vector<std::pair<std::string, json>>{{"n_group", 0},
                                                 {"n_group", 3},
                                                 {"n_group", "4"},
                                                 {"topk_group", 0},
                                                 {"topk_group", 5},
                                                 {"norm_topk_prob", "yes"},
                                                 {"norm_topk_prob", 1},
                                                 {"num_hidden_layers", "61"},
                                                 {"num_hidden_layers", 0},
                                                 {"num_hidden_layers", 3.0},
                                                 {"num_hidden_layers", true},
                                                 {"first_k_dense_replace", 4},
                                                 {"first_k_dense_replace", -1},
                                                 {"vocab_size", -5},
                                                 {"hidden_size", 18446744073709551615U},
                                                 {"qk_rope_head_dim", 7},
                                                 {"num_key_value_heads", 1},
                                                 {"num_experts_per_tok", 9},
                                                 {"routed_scaling_factor", "2.5"},
                                                 {"routed_scaling_factor", 0},
                                                 {"rms_norm_eps", -1e-6},
                                                 {"rope_theta", "10000"},
                                                 {"rope_scaling", "yarn"},
                                                 {"q_lora_rank", -1},
                                                 {"num_nextn_predict_layers", -1},
                                                 {"scoring_func", 1},
                                                 {"moe_layer_freq", 0},
                                                 {"mlp_layer_types", "dense"},
                                                 {"mlp_layer_types", {"dense", "sparse"}},
                                                 {"layer_types", {"a", "b", "c"}},
                                                 {"quantization_config", 8},
                                                 {"quantization_config.quant_method", "gptq"}}) {
    json config = v3();
    if (field == "quantization_config.quant_method") {
      config["quantization_config"] = {{"quant_method", value}};
    } else {
      config[field] = value;
    }
    const std::string said = mistakes(config);
    EXPECT_THAT(said, HasSubstr("config.json: " + field)) << value;
    EXPECT_THAT(said, Not(HasSubstr("\n"))) << "one line";
  }
}

TEST(HfConfig, NamesTheFieldInsideTheRope) {
  for (const auto& [field, value] :
       std::vector<std::pair<std::string, json>>{{"factor", "40"},
                                                 {"factor", 0},
                                                 {"mscale", true},
                                                 {"mscale_all_dim", -1},
                                                 {"beta_fast", "32"},
                                                 {"rope_type", "linear"},
                                                 {"original_max_position_embeddings", 4096.5}}) {
    json config = v3();
    config["rope_scaling"][field] = value;
    EXPECT_THAT(mistakes(config), HasSubstr("config.json: rope_scaling." + field)) << value;
  }
  json config = v3();
  config["rope_parameters"] = config["rope_scaling"];
  EXPECT_EQ(mistakes(config), "");
  config["rope_parameters"]["factor"] = 4;
  EXPECT_THAT(mistakes(config), HasSubstr("config.json: rope_parameters.factor: is 4, rope_scaling.factor is 40"));
}

TEST(HfConfig, TakesOneKeyAndValueAHeadWhereTheirNumberIsNotGiven) {
  json config = v3();
  const std::string heads = value_of(config, "base_num_query_heads");
  config.erase("num_key_value_heads");
  EXPECT_EQ(mistakes(config), "");
  EXPECT_EQ(value_of(config, "base_num_kv_heads"), heads);
}

// Its yarn keeps and stretches frequencies at one number of rotations.
TEST(HfConfig, ReadsKimiAsTheV3ThatItIs) {
  json config = v3();
  config["model_type"] = "kimi_k2";
  config["rope_scaling"]["beta_fast"] = 1.0;
  config["rope_scaling"]["beta_slow"] = 1.0;
  EXPECT_EQ(mistakes(config), "");
  TemporaryFolder folder;
  folder.write("config.json", config.dump());
  EXPECT_EQ(resolve_auto(folder.path()).config.beta_fast, 1);
}

// A mistake in the folder's file is told alone, not with what follows from it.
TEST(HfConfig, AMistakeIsOneLine) {
  TemporaryFolder folder;
  json config = v3();
  config["n_routed_experts"] = 7;
  folder.write("config.json", config.dump());
  try {
    resolve_auto(folder.path());
    FAIL() << "n_routed_experts=7 is taken";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("n_group"), Not(HasSubstr("n_routing_groups")), Not(HasSubstr("\n"))));
  }
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

TEST(HfConfig, ADeepValueOrAHugeNumberIsAMistakeLikeOthers) {
  Problems problems;
  std::string text = v3().dump();
  const std::string brackets(50, '['), back(50, ']');  // a deeper file is refused as a whole
  text.replace(text.find("\"n_group\":4"), 11, "\"n_group\":" + brackets + back);
  hf_model_layer(text, "config.json", problems);
  EXPECT_THAT([&] { problems.throw_if_any(); }, testing::ThrowsMessage<ConfigError>(HasSubstr("n_group: is a list")));
  EXPECT_THROW(hf_model_layer(R"({"n_group": 1e999})", "config.json", problems), FormatError);
}

TEST(HfConfig, NamesTheFileThatIsNotJson) {
  Problems problems;
  EXPECT_THROW(hf_model_layer("{", "here/config.json", problems), FormatError);
  EXPECT_THROW(hf_model_layer(R"({"n_group": 1, "n_group": 2})", "here/config.json", problems), FormatError);
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
