#include "config/resolve/resolve.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "base/temporary_folder.h"
#include "config/keys/typed_value.h"
#include "config/resolve/layers.h"
#include "config/resolve/resolve_testing.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

namespace fs = std::filesystem;

class ResolveFiles : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) { return temporary_.write(name, text); }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

using ResolveHub = ResolveFiles;

TEST(Resolve, TakesTheLastOfDefaultFileModelAndCommandLine) {
  Resolved r = resolve(tiny({"steps=7"}));
  EXPECT_EQ(r.config.adam_b2, 0.95);  // table
  EXPECT_EQ(r.config.emb_dim, 64);    // model file, over the file's default of 2048
  EXPECT_EQ(r.config.steps, 7);       // command line
  EXPECT_EQ(resolve(tiny(), {{"M_STEPS", "9"}}).config.steps, 9);
}

TEST(Resolve, RefusesAKeyFromBothCommandLineAndEnvironment) {
  EXPECT_THAT(refusal(tiny({"steps=7"}), {{"M_STEPS", "7"}}), HasSubstr("steps is on the command line as well"));
}

TEST(Resolve, ReadsTheEnvironmentByTheKeysType) {
  EXPECT_FALSE(resolve(tiny(), {{"M_SCAN_LAYERS", "n"}}).config.scan_layers);
  EXPECT_THAT(refusal(tiny(), {{"M_STEPS", "x"}}), HasSubstr("environment M_STEPS: steps needs an integer"));
  EXPECT_THAT(refusal(tiny(), {{"M_ADAMW_MASK", "bias"}}), HasSubstr("a list cannot come from the environment"));
}

TEST(Resolve, ProtectsTheModelsDimensions) {
  EXPECT_THAT(refusal(tiny({"base_emb_dim=128"})),
              AllOf(HasSubstr("base_emb_dim=128 contradicts 64"), HasSubstr("deepseek3-tiny.yml: line"),
                    HasSubstr("override_model_config=True")));
  EXPECT_THAT(refusal(tiny(), {{"M_BASE_EMB_DIM", "128"}}), HasSubstr("contradicts 64"));
  EXPECT_EQ(resolve(tiny({"base_emb_dim=64"})).config.emb_dim, 64);
  Config c = resolve(tiny({"base_emb_dim=128", "override_model_config=True"})).config;
  EXPECT_EQ(c.emb_dim, 128);
  EXPECT_EQ(c.kv_lora_rank, 16);
}

TEST(Resolve, LetsGroupsBeGivenAsThePeerDoes) {
  Config c = resolve(tiny({"n_routing_groups=4", "topk_routing_group=2"})).config;
  EXPECT_EQ(c.n_routing_groups, 4);
  EXPECT_EQ(c.topk_routing_group, 2);
}

TEST(Resolve, DropsTheModelsGroupsWhereOtherExpertsDoNotFitThem) {
  Resolved r = resolve(tiny({"override_model_config=True", "num_experts=4", "num_experts_per_tok=2"}));
  EXPECT_EQ(r.config.n_routing_groups, 0);
  EXPECT_THAT(r.notices, Contains(HasSubstr("n_routing_groups=8 does not fit num_experts=4")));
  EXPECT_THAT(refusal(tiny({"n_routing_groups=3", "topk_routing_group=2"})),
              HasSubstr("n_routing_groups=3 does not divide num_experts=16"));
}

TEST(Resolve, SaysThatSortedExpertsDropNoToken) {
  EXPECT_THAT(resolve(tiny({"capacity_factor=1.5", "sparse_matmul=True"})).notices,
              Contains(HasSubstr("capacity_factor=1.5 drops no token")));
  EXPECT_THAT(resolve(tiny({"capacity_factor=1.5", "sparse_matmul=False"})).notices,
              Not(Contains(HasSubstr("capacity_factor"))));
}

TEST(Resolve, SaysWhatABoundOnTheExchangeDoes) {
  EXPECT_THAT(resolve(tiny({"ragged_buffer_factor=1.5", "sparse_matmul=False"})).notices,
              Contains(HasSubstr("ragged_buffer_factor=1.5 has no effect")));
  EXPECT_THAT(resolve(tiny({"ragged_buffer_factor=1.5", "sparse_matmul=True"})).notices,
              Contains(HasSubstr("ragged_buffer_factor=1.5 has no effect: no device is sent tokens")));
  EXPECT_THAT(resolve(tiny({"ragged_buffer_factor=1.5", "sparse_matmul=True", "cpu_device_count=2",
                            "ici_expert_parallelism=2", "ici_fsdp_parallelism=1"}))
                  .notices,
              Contains(HasSubstr("ragged_buffer_factor=1.5 bounds what a device is sent")));
}

TEST(Resolve, ReportsAllMistakesTogether) {
  std::string message = refusal(tiny({"stesp=3", "dtype=float8", "per_device_batch_size=0.3", "scan_layers=perhaps",
                                      "eval_ragged_buffer_factor=1.25", "bare"}));
  EXPECT_THAT(message, HasSubstr("6 mistakes in the configuration"));
  EXPECT_THAT(message, HasSubstr("unknown key 'stesp' (nearest: steps"));
  EXPECT_THAT(message, HasSubstr("dtype is float8, which is not one of"));
  EXPECT_THAT(message, HasSubstr("0.3 rows"));
  EXPECT_THAT(message, HasSubstr("scan_layers needs true or false, got perhaps"));
  EXPECT_THAT(message, HasSubstr("eval_ragged_buffer_factor=1.25 is refused"));
  EXPECT_THAT(message, HasSubstr("expected key=value, got 'bare'"));
}

TEST(Resolve, TakesRefusedKeysAtTheirDefault) {
  resolve(tiny({"eval_ragged_buffer_factor=-1", "quantization=", "weight_sparsity_n=none", "attn_logits_soft_cap=0",
                "lora.enable_lora=false"}));
  EXPECT_THAT(refusal(tiny({"use_qwix_quantization=true"})), HasSubstr("only quantization=fp8 is built"));
  EXPECT_THAT(refusal(tiny({"lora.enable_lora=true"})), HasSubstr("adapters are not built"));
  EXPECT_THAT(refusal(tiny({"emb_dim=8"})), HasSubstr("follows from the key of the same name with base_"));
}

TEST(Resolve, OfQuantizedTrainingTakesOneRecipe) {
  EXPECT_EQ(resolve(tiny({})).config.quantization, Quantization::kNone);
  EXPECT_EQ(resolve(tiny({"quantization=fp8"})).config.quantization, Quantization::kFp8);
  for (const char* other : {"int8", "fp8_full", "nanoo_fp8", "te_fp8_delayedscaling"}) {
    const std::string message = refusal(tiny({std::string("quantization=") + other}));
    EXPECT_THAT(message, HasSubstr(std::string("quantization is ") + other + ", which is not one of"));
    EXPECT_THAT(message, HasSubstr("none, fp8"));
  }
}

TEST(Resolve, SaysWhichKeysHaveNoEffect) {
  Resolved r = resolve(tiny({"enable_goodput_recording=False", "wi_tile_fwd_mlp_dim=256"}));
  EXPECT_THAT(r.notices, Contains(HasSubstr("enable_goodput_recording=False has no effect")));
  EXPECT_THAT(r.notices, Contains(HasSubstr("wi_tile_fwd_mlp_dim=256 has no effect: tile size")));
  EXPECT_THAT(resolve(tiny()).notices, Not(Contains(HasSubstr("has no effect"))));
}

TEST(Resolve, ParsesCommandLineValuesByTheKeysType) {
  Config c = resolve(tiny({"steps=10_000", "learning_rate=1e-3", "adamw_mask=['norm','bias']", "packing=False",
                           "prompt=a: [b} #c", "trainable_parameters_mask=.*experts.*", "jax_cache_dir=None"}))
                 .config;
  EXPECT_EQ(c.steps, 10000);
  EXPECT_EQ(c.learning_rate, 1e-3);
  EXPECT_THAT(c.adamw_mask, ElementsAre("norm", "bias"));
  EXPECT_THAT(c.trainable_parameters_mask, ElementsAre(".*experts.*"));
  EXPECT_FALSE(c.packing);
  EXPECT_EQ(c.prompt, "a: [b} #c");
  EXPECT_EQ(c.jax_cache_dir, "");
  EXPECT_THAT(resolve(tiny({"adamw_mask=[a-z]+_norm"})).config.adamw_mask, ElementsAre("[a-z]+_norm"));
}

TEST(Resolve, NeedsAModelAndKnowsTheirNames) {
  EXPECT_THAT(refusal({"dataset_type=synthetic"}), HasSubstr("model_name is not given: one of deepseek2-16b"));
  EXPECT_THAT(refusal({"model_name=deepseek3-tny", "dataset_type=synthetic"}),
              AllOf(HasSubstr("nearest: deepseek3-tiny"), HasSubstr("deepseek3.2-671b")));
  EXPECT_EQ(resolve({"model_name=deepseek3-671b-Instruct", "dataset_type=synthetic"}).config.num_experts, 256);
}

TEST(Resolve, ReadsTheModelOfAFolderWhereverItIs) {
  EXPECT_THAT(refusal(tiny({"model_name=auto", "load_parameters_path=ftp://host/model"})),
              HasSubstr("ftp://host/model/config.json: a path is local, gs:// or s3://"));
}

TEST(Resolve, TakesDimensionsWithoutAModelFile) {
  Config c = resolve({"model_name=default", "dataset_type=synthetic", "base_moe_mlp_dim=32", "num_experts=4"}).config;
  EXPECT_EQ(c.emb_dim, 2048);
  EXPECT_EQ(c.moe_mlp_dim, 32);
}

TEST(Resolve, HasTheDimensionsOfEveryModel) {
  struct Case {
    const char* name;
    int64_t emb, layers, dense, experts, chosen, groups, kept;
    double mscale;
  };
  for (const Case& m :
       {Case{"deepseek2-16b", 2048, 27, 1, 64, 6, 0, 0, 0.707},
        Case{"deepseek2-236b", 5120, 60, 1, 160, 6, 8, 3, 0.707},
        Case{"deepseek3-671b", 7168, 61, 3, 256, 8, 8, 4, 1.0}, Case{"deepseek3-test", 512, 61, 3, 256, 8, 8, 4, 1.0},
        Case{"deepseek3-tiny", 64, 61, 3, 16, 8, 8, 4, 1.0}, Case{"deepseek3-mini", 256, 6, 1, 16, 2, 4, 2, 1.0}}) {
    Config c = resolve({std::string("model_name=") + m.name, "dataset_type=synthetic"}).config;
    EXPECT_EQ(c.emb_dim, m.emb) << m.name;
    EXPECT_EQ(c.num_decoder_layers, m.layers) << m.name;
    EXPECT_EQ(c.first_num_dense_layers, m.dense) << m.name;
    EXPECT_EQ(c.num_experts, m.experts) << m.name;
    EXPECT_EQ(c.num_experts_per_tok, m.chosen) << m.name;
    EXPECT_EQ(c.n_routing_groups, m.groups) << m.name;
    EXPECT_EQ(c.topk_routing_group, m.kept) << m.name;
    EXPECT_EQ(c.mscale, m.mscale) << m.name;
    bool v3 = std::string(m.name).starts_with("deepseek3");
    EXPECT_EQ(c.routed_bias, v3) << m.name;
    EXPECT_EQ(c.norm_topk_prob, v3) << m.name;
    EXPECT_EQ(c.routed_score_func, v3 ? ScoreFunc::kSigmoid : ScoreFunc::kSoftmax) << m.name;
  }
  EXPECT_EQ(resolve({"model_name=deepseek2-236b", "dataset_type=synthetic"}).config.routing_group_score,
            GroupScore::kMaximum);
}

TEST(Resolve, V32WarmsUpItsIndexerOnlyWhenTheIndexerHasALoss) {
  auto config = [](const Args& more) {
    Args words = {"model_name=deepseek3.2-671b", "dataset_type=synthetic", "max_target_length=4096"};
    words.insert(words.end(), more.begin(), more.end());
    return resolve(words).config;
  };
  const std::string loss = "indexer_loss_scaling_factor=0.01";
  EXPECT_FALSE(config({}).indexer_dense_warmup);
  EXPECT_TRUE(config({}).trainable_parameters_mask.empty());
  const Config warmup = config({loss});
  EXPECT_TRUE(warmup.indexer_dense_warmup);
  EXPECT_THAT(warmup.trainable_parameters_mask, ElementsAre(".*indexer.*"));
  EXPECT_EQ(warmup.indexer_warmup_attention, WarmupAttention::kDense);
  EXPECT_FALSE(config({loss, "indexer_sparse_training=True"}).indexer_dense_warmup);
  // The peer's defaults train nothing without a loss, and attend to the chosen keys with one.
  const Config peer = config({"defaults=maxtext"});
  EXPECT_TRUE(peer.indexer_dense_warmup);
  EXPECT_TRUE(peer.trainable_parameters_mask.empty());
  EXPECT_EQ(peer.indexer_warmup_attention, WarmupAttention::kSparse);
}

TEST(Resolve, ASparseStageWithoutAnIndexerIsSaid) {
  const Resolved r = resolve(tiny({"indexer_sparse_training=True"}));
  EXPECT_THAT(r.notices, testing::Contains(HasSubstr("indexer_sparse_training=True has no effect")));
}

TEST(Resolve, VariantOfThePredictionIsThatOfTheWeightsOrThePeers) {
  EXPECT_EQ(resolve(tiny({"mtp_num_layers=1"})).config.mtp_variant, PredictionVariant::kCheckpoint);
  EXPECT_EQ(resolve(tiny({"mtp_num_layers=1", "defaults=maxtext"})).config.mtp_variant, PredictionVariant::kPreOwn);
  EXPECT_EQ(resolve(tiny({"mtp_variant=post_main", "defaults=maxtext"})).config.mtp_variant,
            PredictionVariant::kPostMain);
  EXPECT_THAT(refusal(tiny({"mtp_num_layers=1", "mtp_eval_target_module=2"})),
              HasSubstr("mtp_eval_target_module=2 is beyond mtp_num_layers=1"));
}

TEST(Resolve, ALossOfTheIndexerNeedsAnIndexerAndKeysToLeaveOut) {
  const Args loss = {"dataset_type=synthetic", "indexer_loss_scaling_factor=0.01", "max_target_length=2048"};
  auto of_model = [&](const char* model) {
    Args words = loss;
    words.insert(words.begin(), model);
    return refusal(words);
  };
  EXPECT_THAT(of_model("model_name=deepseek3-671b"), HasSubstr("needs use_indexer=True"));
  EXPECT_THAT(of_model("model_name=deepseek3.2-671b"), HasSubstr("indexer_topk=2048 keeps every key"));
}

TEST(Resolve, ScalesTheSoftmaxAsTheReleasedModelsDo) {
  auto config = [](const char* model) {
    return resolve({std::string("model_name=") + model, "dataset_type=synthetic"}).config;
  };
  // (0.1 mscale ln 40 + 1)^2
  EXPECT_NEAR(config("deepseek3-671b").softmax_scale_factor, 1.873854, 1e-6);
  EXPECT_NEAR(config("deepseek2-16b").softmax_scale_factor, 1.589626, 1e-6);
  EXPECT_EQ(config("deepseek3-671b").rope_output_scale, 1.0);
  Config c = resolve(tiny({"mscale_all_dim=0"})).config;
  EXPECT_EQ(c.softmax_scale_factor, 1.0);
  EXPECT_NEAR(c.rope_output_scale, 0.1 * std::log(40.0) + 1, 1e-12);
}

TEST(Resolve, RestoresThePeersDefaultsOnRequest) {
  Args args = {"model_name=deepseek3-671b", "defaults=maxtext"};
  Config c = resolve(args).config;
  EXPECT_EQ(c.n_routing_groups, 0);
  EXPECT_EQ(c.dataset_type, DatasetType::kSynthetic);
  args.insert(args.end(), {"n_routing_groups=8", "topk_routing_group=4"});
  EXPECT_EQ(resolve(args).config.n_routing_groups, 8);
  args.insert(args.end(), {"max_position_embeddings=4096", "override_model_config=True"});
  EXPECT_EQ(resolve(args).config.softmax_scale_factor, 1.0);
}

TEST(Resolve, NeedsADataSetAndATokenizer) {
  EXPECT_THAT(refusal({"model_name=deepseek3-tiny"}), HasSubstr("no data set: give dataset_path="));
  EXPECT_THAT(refusal({"model_name=deepseek3-tiny", "dataset_path=tests/data"}), HasSubstr("no tokenizer"));
  EXPECT_THAT(refusal({"model_name=deepseek3-tiny", "dataset_path=tests/no_such_file.txt"}),
              HasSubstr("dataset_path=tests/no_such_file.txt: no such file or folder"));
  EXPECT_THAT(refusal(tiny({"dataset_type=hf"})), HasSubstr("dataset_type=hf needs hf_path"));
  EXPECT_THAT(refusal({"model_name=deepseek3-tiny", "hf_path=a/b", "dataset_path=tests"}),
              HasSubstr("dataset_path and hf_path are both given"));
}

TEST(Resolve, TokenIdsNeedNoTokenizerAndAreInAColumnOfTheirOwn) {
  Args args = {"model_name=deepseek3-tiny", "dataset_path=tests/data", "tokenize_train_data=False"};
  Config c = resolve(args).config;
  EXPECT_THAT(c.train_data_columns, ElementsAre("tokens"));
  EXPECT_THAT(c.eval_data_columns, ElementsAre("text"));
  args.emplace_back("eval_interval=5");
  EXPECT_THAT(refusal(args), HasSubstr("with tokenize_eval_data=False")) << "the evaluation data are text";
  args.insert(args.end(), {"tokenize_eval_data=False", "train_data_columns=[ids]"});
  c = resolve(args).config;
  EXPECT_THAT(c.train_data_columns, ElementsAre("ids"));
  EXPECT_THAT(c.eval_data_columns, ElementsAre("tokens"));
}

TEST(Resolve, ANamedDataSetIsOfTensorFlowDatasetsAndServesTheEvaluationToo) {
  Args args = {"model_name=deepseek3-tiny", "dataset_path=tests/data/tfds", "tokenizer_path=tests"};
  EXPECT_EQ(resolve(args).config.dataset_type, DatasetType::kFiles);
  EXPECT_EQ(resolve(args).config.dataset_name, "c4/en:3.1.0");
  args.emplace_back("dataset_name=other:1.0.0");
  EXPECT_EQ(resolve(args).config.dataset_type, DatasetType::kTfds);
  EXPECT_EQ(resolve(args).config.eval_dataset_name, "other:1.0.0");
  args.emplace_back("eval_dataset_name=third");
  EXPECT_EQ(resolve(args).config.eval_dataset_name, "third");
  args.back() = "defaults=maxtext";
  EXPECT_EQ(resolve(args).config.eval_dataset_name, "c4/en:3.1.0");
}

TEST(Resolve, AsksForNoDataWhereTheCommandReadsNone) {
  ResolveOptions options{.needs_data = false};
  EXPECT_EQ(refusal({"model_name=deepseek3-tiny"}, {}, options), "accepted");
  options.needs_tokenizer = true;
  EXPECT_THAT(refusal({"model_name=deepseek3-tiny"}, {}, options), HasSubstr("no tokenizer"));
}

TEST(Resolve, DerivesStepsDtypesAndFolders) {
  Config c = resolve(tiny({"steps=-1", "learning_rate_schedule_steps=40", "weight_dtype=bfloat16"})).config;
  EXPECT_EQ(c.steps, 40);
  EXPECT_EQ(c.mu_dtype, DType::kBF16);
  EXPECT_EQ(c.run_directory, "out/r");
  EXPECT_EQ(c.eval_per_device_batch_size, c.per_device_batch_size);
  EXPECT_EQ(resolve(tiny({"steps=5"})).config.learning_rate_schedule_steps, 5);
  Resolved unnamed = resolve({"model_name=deepseek3-tiny", "dataset_type=synthetic"}, {{"JOBSET_NAME", "job"}});
  EXPECT_EQ(unnamed.config.run_directory, "./fathom_output/job");
  EXPECT_THAT(unnamed.notices, Contains(HasSubstr("base_output_directory is not given")));
  EXPECT_THAT(resolve({"model_name=deepseek3-tiny", "dataset_type=synthetic"}).config.run_name,
              testing::StartsWith("deepseek3-tiny_2"));
}

TEST(Resolve, ScalesDimensionsAsThePeerDoes) {
  Config c = resolve(tiny({"global_parameter_scale=4"})).config;
  EXPECT_EQ(c.emb_dim, 128);
  EXPECT_EQ(c.num_query_heads, 8);
  EXPECT_EQ(c.moe_mlp_dim, 128);
  EXPECT_EQ(c.num_decoder_layers, 61);
  EXPECT_EQ(resolve(tiny({"global_parameter_scale=8"})).config.num_decoder_layers, 122);
}

TEST(Resolve, NamesTheTensorsARematPolicyKeeps) {
  EXPECT_TRUE(resolve(tiny()).config.remat);
  EXPECT_TRUE(resolve(tiny()).config.remat_saved.empty());
  EXPECT_FALSE(resolve(tiny({"remat_policy=none"})).config.remat);
  EXPECT_THAT(resolve(tiny({"remat_policy=save_out_proj"})).config.remat_saved, ElementsAre("out_proj"));
  EXPECT_THAT(resolve(tiny({"remat_policy=minimal_flash"})).config.remat_saved, Contains("context"));
  EXPECT_THAT(resolve(tiny({"remat_policy=custom", "mla_q=device", "mlpwo=device"})).config.remat_saved,
              testing::UnorderedElementsAre("mla_q", "mlpwo"));
  EXPECT_THAT(refusal(tiny({"mlpwo=host"})), HasSubstr("mlpwo is host, which is not one of"));
}

TEST(Resolve, MergesShardingRulesByName) {
  Config before = resolve(tiny()).config;
  Config c = resolve(tiny({"logical_axis_rules=[[embed, [tensor]], [extra, [data]]]"})).config;
  auto count = [](const Config& config, const std::string& name) {
    return std::count_if(config.logical_axis_rules.begin(), config.logical_axis_rules.end(),
                         [&](const AxisRule& rule) { return rule.logical == name; });
  };
  EXPECT_EQ(count(before, "embed"), 2);
  EXPECT_EQ(count(c, "embed"), 1);
  EXPECT_EQ(count(c, "extra"), 1);
  EXPECT_EQ(count(c, "vocab"), count(before, "vocab"));
  Config replaced =
      resolve(tiny({"logical_axis_rules=[[embed, [tensor]]]", "override_logical_axis_rules=True"})).config;
  EXPECT_THAT(replaced.logical_axis_rules, ElementsAre(AxisRule{"embed", {"tensor"}}));
}

TEST(Resolve, NeverShowsTheAccessToken) {
  Resolved r = resolve(tiny({"hf_access_token=hf_secret"}), {{"HF_TOKEN", "hf_other"}});
  std::string all = to_yaml(r.config);
  for (const std::string& notice : r.notices) all += notice;
  for (const KeySource& source : r.sources) all += source.value;
  EXPECT_THAT(all, AllOf(Not(HasSubstr("hf_secret")), Not(HasSubstr("hf_other")), HasSubstr("(hidden)")));
  EXPECT_THAT(refusal(tiny({"hf_access_token=\"['hf_secret']\"", "stesp=1"})), Not(HasSubstr("hf_secret")));
}

TEST(Resolve, TellsWhereAValueCameFrom) {
  Resolved r = resolve(tiny({"steps=3"}), {{"M_LOG_PERIOD", "5"}});
  auto origin = [&](const std::string& key) -> std::string {
    for (const KeySource& source : r.sources) {
      if (source.key == key) return source.origin;
    }
    return "";
  };
  EXPECT_EQ(origin("steps"), "command line");
  EXPECT_EQ(origin("log_period"), "environment M_LOG_PERIOD");
  EXPECT_THAT(origin("base_emb_dim"), HasSubstr("models/deepseek3-tiny.yml: line"));
  EXPECT_THAT(origin("adam_b1"), HasSubstr("base.yml: line"));
  EXPECT_EQ(origin("mscale_all_dim"), "");
}

TEST(Resolve, WritesAConfigurationThatReadsBack) {
  Resolved r = resolve(tiny({"steps=12", "adamw_mask=[norm]", "learning_rate=1e-4", "prompt=\"a\\nb\""}));
  std::string yaml = to_yaml(r.config);
  EXPECT_THAT(yaml, HasSubstr("\nsteps: 12\n"));
  RawValue document = parse_yaml(yaml, "yaml");
  std::string before;
  for (const auto& [key, raw] : document.fields) {
    EXPECT_LT(before, key);
    before = key;
    const KeyRow* row = find_key(key);
    ASSERT_NE(row, nullptr) << key;
    if (key == "override_model_config") continue;  // always true, so that the file wins over the model file
    EXPECT_EQ(typed_value(*row, raw), row->binding->get(r.config)) << key;
  }
}

TEST(Resolve, KeepsTheBaseFileAtTheTablesDefaults) {
  Problems problems;
  for (const auto& [key, setting] : file_layers("configs/base.yml", ".", {}, problems).all) {
    EXPECT_EQ(typed_value(*setting.row, setting.raw), default_value(*setting.row)) << key;
  }
  EXPECT_TRUE(problems.empty());
}

TEST(Resolve, FindsFilesByThePeersPaths) {
  Args args = tiny();
  args[0] = "src/maxtext/configs/base.yml";
  EXPECT_EQ(resolve(args).config.emb_dim, 64);
  args[0] = "base.yml";
  EXPECT_EQ(resolve(args).config.emb_dim, 64);
  args[0] = "no/such.yml";
  EXPECT_THAT(refusal(args), HasSubstr("no/such.yml: no such configuration file"));
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "a.yml");
  args[0] = folder / "a.yml";
  EXPECT_THAT(refusal(args), HasSubstr("a.yml: is there, but is no file with a configuration"));
  args[0] = "src/maxtext/configs/gpu/none.yml";
  EXPECT_THAT(refusal(args), HasSubstr("there is no configs/gpu/none.yml"));
}

TEST_F(ResolveFiles, IncludesABaseFileBelowTheChild) {
  write("child.yml", "base_config: parent.yml\nsteps: 5\n");
  write("parent.yml", "base_config: base.yml\nsteps: 3\nlog_period: 7\n");
  Config c = resolve({(folder_ / "child.yml").string(), "model_name=deepseek3-tiny", "dataset_type=synthetic"}).config;
  EXPECT_EQ(c.steps, 5);
  EXPECT_EQ(c.log_period, 7);
  EXPECT_EQ(c.adam_b1, 0.9);
  write("parent.yml", "base_config: child.yml\n");
  EXPECT_THAT(refusal({(folder_ / "child.yml").string()}), HasSubstr("includes the file itself"));
}

// MaxText's own post_train/sft.yml, of two of its revisions.
TEST_F(ResolveFiles, TakesThePeersFileForFineTuning) {
  const std::string common =
      "base_config: base.yml\nuse_sft: True\nuse_tunix_gradient_accumulation: True\n"
      "sft_train_on_completion_only: True\npacking: True\nlearning_rate: 2.e-5\ndataset_type: hf\n"
      "hf_path: 'HuggingFaceH4/ultrachat_200k'\ntrain_split: 'train_sft'\nhf_eval_split: 'test_sft'\n"
      "train_data_columns: ['messages']\neval_data_columns: ['messages']\n";
  const std::string block = "lora:\n  enable_lora: False\n  lora_rank: 16\n  lora_alpha: 32.0\n";
  const std::string flat =
      "enable_lora: False\nlora_rank: 0\nlora_alpha: 0.0\nlora_module_path: \"\"\nlora_weight_qtype: null\n"
      "lora_tile_size: null\nhf_lora_adapter_path: \"\"\n";
  for (const std::string& lora : {block, flat}) {
    const std::string file = write("sft.yml", common + lora);
    Args args = {file, "model_name=deepseek3-tiny", "hf_path=tests/data/sft/sft.jsonl",
                 "tokenizer_path=tests/data/tokenizer"};
    const Config c = resolve(args).config;
    EXPECT_TRUE(c.use_sft && c.sft_train_on_completion_only);
    EXPECT_EQ(c.learning_rate, 2e-5);
    EXPECT_EQ(c.train_data_columns, std::vector<std::string>{"messages"});
    EXPECT_EQ(c.hf_eval_split, "test_sft");
    args.emplace_back("gradient_accumulation_steps=2");
    EXPECT_THAT(refusal(args), HasSubstr("use_tunix_gradient_accumulation=True with gradient_accumulation_steps=2"));
    args.emplace_back("use_tunix_gradient_accumulation=False");
    resolve(args);
  }
  write("sft.yml", common + "lora: {enable_lora: True, lora_rank: 16}\n");
  EXPECT_THAT(refusal({(folder_ / "sft.yml").string(), "model_name=deepseek3-tiny"}),
              HasSubstr("lora.enable_lora=True is refused: adapters are not built"));
}

TEST(Resolve, FineTuningReadsItsColumnsAndRefusesWhatHasNoConversations) {
  const auto sft = [](Args more) {
    Args args = {"base.yml", "model_name=deepseek3-tiny", "use_sft=True", "hf_path=tests/data/sft/ultrachat",
                 "tokenizer_path=tests/data/tokenizer"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  EXPECT_EQ(resolve(sft({})).config.train_data_columns, std::vector<std::string>{"messages"});
  EXPECT_EQ(resolve(sft({"hf_data_dir=data"})).config.hf_data_dir, "data");
  EXPECT_THAT(refusal(sft({"hf_data_dir=nowhere"})),
              HasSubstr("hf_data_dir=tests/data/sft/ultrachat/nowhere: no such"));
  EXPECT_THAT(refusal(sft({"train_data_columns=[text]"})), HasSubstr("train_data_columns=[text]: use_sft=True reads"));
  EXPECT_THAT(refusal(sft({"tokenize_train_data=False"})), HasSubstr("tokenize_train_data=False has no meaning"));
  EXPECT_THAT(refusal(sft({"chat_template_path=none.jinja"})), HasSubstr("chat_template_path=none.jinja: no such"));
  EXPECT_THAT(refusal(sft({"chat_template=x", "chat_template_path=configs"})), HasSubstr("are both given"));
  EXPECT_THAT(refusal(sft({"dataset_type=tfds", "dataset_path=tests/data/tfds"})),
              HasSubstr("use_sft=True reads conversations of hf_path"));
  EXPECT_THAT(resolve(tiny({"use_sft=True"})).notices, Contains(HasSubstr("use_sft=True has no effect")));
  EXPECT_THAT(
      refusal(tiny({"use_sft=True", "hf_path=a.jsonl"})),
      HasSubstr("hf_path=a.jsonl is not read: dataset_type=synthetic makes random tokens; leave one of them out"));
  EXPECT_THAT(resolve(tiny({"dataset_path=a.txt"})).notices, Contains(HasSubstr("dataset_path=a.txt is not read")));
}

TEST_F(ResolveFiles, NamesTheLineOfAnUnknownKey) {
  std::string file = write("my.yml", "# comment\nsteps: 5\nsteppes: 6\n");
  EXPECT_THAT(refusal({file, "model_name=deepseek3-tiny", "dataset_type=synthetic"}),
              HasSubstr("my.yml: line 3: unknown key 'steppes' (nearest: steps)"));
  file = write("list.yml", "- a\n");
  EXPECT_THAT(refusal({file}), HasSubstr("holds `key: value` lines"));
}

TEST_F(ResolveFiles, TakesValuesFromTheEnvironmentByName) {
  std::string file = write("my.yml", "run_name: job-${oc.env:ID}\nprompt: ${oc.env:NONE,hello}\n");
  Args args = {file, "model_name=deepseek3-tiny", "dataset_type=synthetic"};
  Config c = resolve(args, {{"ID", "7"}}).config;
  EXPECT_EQ(c.run_name, "job-7");
  EXPECT_EQ(c.prompt, "hello");
  EXPECT_THAT(refusal(args), HasSubstr("the environment variable ID is not set"));
}

TEST_F(ResolveFiles, PrefersAModelFileBesideTheConfiguration) {
  fs::create_directories(folder_ / "models");
  write("models/mine.yml", "base_emb_dim: 96\nbase_moe_mlp_dim: 8\n");
  std::string file = write("my.yml", "model_name: mine\n");
  EXPECT_EQ(resolve({file, "dataset_type=synthetic"}).config.emb_dim, 96);
}

TEST_F(ResolveFiles, UsesTheTokenizerOfTheModelsFolder) {
  fs::create_directories(folder_ / "items");
  write("tokenizer.json", "{}");
  write("text.txt", "hello");
  for (const char* items : {"items", "items/"}) {
    Args args = {"model_name=deepseek3-tiny", "dataset_path=" + (folder_ / "text.txt").string(),
                 "load_parameters_path=" + (folder_ / items).string()};
    Resolved r = resolve(args);
    EXPECT_EQ(r.config.tokenizer_path, folder_.string());
    EXPECT_EQ(r.config.dataset_type, DatasetType::kFiles);
    EXPECT_THAT(r.notices, Contains(HasSubstr("the model folder's own")));
  }
}

TEST_F(ResolveHub, FindsTheSnapshotThatMainNames) {
  fs::path repository = folder_ / "models--org--name";
  for (const char* revision : {"aaa", "bbb"}) fs::create_directories(repository / "snapshots" / revision);
  write("models--org--name/refs/main", "aaa\n");
  Args args = tiny({"load_parameters_path=org/name"});
  EXPECT_THAT(resolve(args, {{"HF_HUB_CACHE", folder_.string()}}).config.load_parameters_path,
              EndsWith("models--org--name/snapshots/aaa"));
  fs::create_directories(folder_ / "hub");
  fs::rename(repository, folder_ / "hub" / "models--org--name");
  EXPECT_THAT(resolve(args, {{"HF_HOME", folder_.string()}}).config.load_parameters_path, EndsWith("snapshots/aaa"));
}

TEST_F(ResolveHub, SaysHowToDownloadWhatIsMissing) {
  Environment environment = {{"HF_HUB_CACHE", folder_.string()}};
  EXPECT_THAT(refusal(tiny({"load_parameters_path=deepseek-ai/DeepSeek-V3"}), environment),
              HasSubstr("run `hf download deepseek-ai/DeepSeek-V3`"));
  EXPECT_THAT(refusal(tiny({"dataset_type=hf", "hf_path=org/data", "tokenizer_path=tests"}), environment),
              HasSubstr("run `hf download org/data --repo-type dataset`"));
  EXPECT_THAT(refusal(tiny({"load_parameters_path=/no/such/folder"}), environment),
              HasSubstr("load_parameters_path=/no/such/folder: no such file or folder"));
}

TEST_F(ResolveHub, NeedsNoTokenizerForSyntheticData) {
  Environment environment = {{"HF_HUB_CACHE", folder_.string()}};
  EXPECT_EQ(refusal(tiny({"tokenizer_path=deepseek-ai/DeepSeek-V3", "tokenizer_type=sentencepiece"}), environment),
            "accepted");
}

}  // namespace
}  // namespace fathom
