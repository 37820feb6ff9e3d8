// Words: what stands for no value, references between keys, files that say something twice, the environment.
#include <gmock/gmock.h>

#include <algorithm>

#include "base/temporary_folder.h"
#include "config/resolve/resolve_testing.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Args with_file(const std::string& file, Args more = {}) {
  Args args = {file, "model_name=deepseek3-tiny", "dataset_type=synthetic"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(Words, NullIsNoValueOnTheCommandLineToo) {
  for (const char* none : {"null", "~", "Null", "NULL", "None", "none", ""}) {
    std::string word = none;
    Config c = resolve({"model_name=deepseek3-tiny", "dataset_type=synthetic", "run_name=" + word,
                        "load_parameters_path=" + word, "jax_cache_dir=" + word, "adamw_mask=" + word})
                   .config;
    EXPECT_THAT(c.run_name, StartsWith("deepseek3-tiny_2")) << word;
    EXPECT_EQ(c.load_parameters_path, "") << word;
    EXPECT_EQ(c.jax_cache_dir, "") << word;
    EXPECT_TRUE(c.adamw_mask.empty()) << word;
  }
  EXPECT_EQ(resolve(tiny({"run_name='null'"})).config.run_name, "null");
  EXPECT_EQ(resolve(tiny({"prompt=null and void"})).config.prompt, "null and void");
  EXPECT_THAT(refusal(tiny({"steps=null"})), HasSubstr("steps needs an integer, got null"));
}

TEST(Words, OpenQuotesAreAMistake) {
  for (const std::string word : {"run_name='x", "run_name=\"x", "adamw_mask='a", "prompt=\"a\" b"}) {
    EXPECT_EQ(refusal(tiny({word})),
              "command line: " + word + ": the quote that it begins with does not close at its end");
  }
}

TEST(Words, NumbersAreYamls) {
  EXPECT_EQ(resolve(tiny({"max_target_length=010"})).config.max_target_length, 8);
  EXPECT_EQ(resolve(tiny({"max_target_length=0x10"})).config.max_target_length, 16);
  EXPECT_EQ(resolve(tiny({"max_target_length='010'"})).config.max_target_length, 10);
  EXPECT_EQ(resolve(with_file("tests/data/config/octal.yml")).config.max_target_length, 8);
  EXPECT_EQ(resolve(tiny(), {{"M_MAX_TARGET_LENGTH", "010"}}).config.max_target_length, 10) << "Python's int()";
}

TEST(Words, AFileSaysEverythingOnce) {
  EXPECT_THAT(refusal(with_file("tests/data/config/dup.yml")),
              HasSubstr("tests/data/config/dup.yml: line 3: steps is given twice, on line 2 as well"));
  EXPECT_THAT(refusal(with_file("tests/data/config/docs2.yml")),
              HasSubstr("tests/data/config/docs2.yml: line 3: a second YAML document"));
  TemporaryFolder folder;
  std::string file = folder.write("x.yml", "lora: {enable_lora: false}\nlora.enable_lora: true\n");
  EXPECT_THAT(refusal(with_file(file)), HasSubstr("x.yml: line 2: lora.enable_lora is given twice"));
}

TEST(Words, OneConfigurationFileMayStandAnywhere) {
  TemporaryFolder folder;
  std::string file = folder.write("x.yaml", "steps: 3\n");
  EXPECT_EQ(resolve({"model_name=deepseek3-tiny", "dataset_type=synthetic", file}).config.steps, 3);
  EXPECT_THAT(refusal(tiny({file})), HasSubstr("two configuration files, configs/base.yml and " + file));
}

TEST(Words, VariablesAreTakenOnTheCommandLineToo) {
  Environment environment = {{"HOME", "/home/a"}, {"FOO", "foo"}};
  Config c = resolve(tiny({"base_output_directory='${oc.env:HOME}/x'", "run_name=${oc.env:NOPE,${oc.env:FOO}}",
                           "prompt=${oc.env:NOPE, two words}", "metrics_file=${oc.env:NOPE,null}"}),
                     environment)
                 .config;
  EXPECT_EQ(c.base_output_directory, "/home/a/x");
  EXPECT_EQ(c.run_name, "foo");
  EXPECT_EQ(c.prompt, "two words");
  EXPECT_EQ(c.metrics_file, "");
  EXPECT_EQ(resolve(with_file("tests/data/config/nested_env.yml"), environment).config.run_name, "foo");
  EXPECT_THAT(refusal(with_file("tests/data/config/nested_env.yml")),
              HasSubstr("nested_env.yml: line 2: run_name: the environment variable FOO is not set"));
  EXPECT_EQ(resolve(tiny(), {{"M_PROMPT", "${oc.env:X}"}}).config.prompt, "${oc.env:X}") << "taken as it stands";
}

TEST(Words, KeysStandForEachOther) {
  EXPECT_EQ(resolve(with_file("tests/data/config/ref.yml")).config.learning_rate_schedule_steps, 6);
  EXPECT_EQ(resolve(with_file("tests/data/config/ref.yml", {"steps=4"})).config.learning_rate_schedule_steps, 4);
  EXPECT_EQ(resolve(with_file("tests/data/config/refbase.yml")).config.run_name, "x_2048");
  Config c = resolve(tiny({"run_name=${model_name}-${max_target_length}-${learning_rate}-${scan_layers}",
                           "max_target_length=1_6", "learning_rate=1.e-4", "trainable_parameters_mask=${adamw_mask}",
                           "adamw_mask=['a','${run_name}']", "prompt=costs \\${5}", "metrics_file=${prompt}.x"}))
                 .config;
  EXPECT_EQ(c.run_name, "deepseek3-tiny-16-0.0001-True");
  EXPECT_THAT(c.trainable_parameters_mask, ElementsAre("a", c.run_name));
  EXPECT_EQ(c.prompt, "costs ${5}");
  EXPECT_EQ(c.metrics_file, "costs ${5}.x");
  // A reference reads what the model file says, and a key that no layer sets is at its default.
  c = resolve(tiny({"run_name=${base_emb_dim}_${profiler_steps}"})).config;
  EXPECT_EQ(c.run_name, "64_5");
  EXPECT_EQ(resolve({"model_name=${run_name}", "run_name=deepseek3-tiny", "dataset_type=synthetic"}).config.emb_dim,
            64);
}

TEST(Words, ReferencesThatStandForNothingAreNamed) {
  EXPECT_THAT(refusal(tiny({"prompt=${stesp}"})),
              HasSubstr("command line: prompt: '${stesp}' names no key (nearest: steps"));
  EXPECT_THAT(refusal(tiny({"prompt=${metrics_file}", "metrics_file=${prompt}"})),
              HasSubstr("a key stands for itself: metrics_file -> prompt -> metrics_file"));
  EXPECT_THAT(refusal(tiny({"prompt=a${steps"})), HasSubstr("'${' is not closed by '}'"));
  EXPECT_THAT(refusal(tiny({"prompt=${now:%Y}"})), HasSubstr("'${now:%Y}' is not understood"));
  EXPECT_THAT(refusal(tiny({"prompt=a ${adamw_mask}", "adamw_mask=[a]"})), HasSubstr("is a list"));
  EXPECT_THAT(refusal(tiny({"prompt=${hf_access_token}", "hf_access_token=hf_secret"})),
              AllOf(HasSubstr("would show a secret"), Not(HasSubstr("hf_secret"))));
  EXPECT_THAT(refusal(tiny({"run_name=x", "model_name=${run_name}"})), HasSubstr("model_name=x: no such model"));
}

TEST(Words, ReferencesDoNotGrowWithoutBounds) {
  Args doubling = {"prompt=${metrics_file}${metrics_file}", "metrics_file=${run_name}${run_name}",
                   "run_name=${hf_path}${hf_path}", "hf_path=" + std::string(20000, 'x')};
  EXPECT_THAT(refusal(tiny(doubling)), HasSubstr("makes a text of more than 65536 bytes"));
  std::string many = "prompt=";
  for (int i = 0; i < 2000; ++i) many += "${steps}";
  EXPECT_THAT(refusal(tiny({many})), HasSubstr("takes more than 1000 values"));
}

TEST(Words, OtherTrainersNamesLeadToTheKey) {
  EXPECT_THAT(refusal(tiny({"lr=1e-3"})), HasSubstr("unknown key 'lr' (nearest: learning_rate)"));
  EXPECT_THAT(refusal(tiny({"max_seq_len=128"})), HasSubstr("unknown key 'max_seq_len' (nearest: max_target_length)"));
  EXPECT_THAT(refusal(tiny({"batch_size=4"})), HasSubstr("for training give per_device_batch_size"));
}

TEST(Words, AMisspeltVariableIsAMistake) {
  EXPECT_THAT(refusal(tiny(), {{"M_STESP", "3"}}), HasSubstr("environment M_STESP: names no key (nearest: M_STEPS"));
  EXPECT_THAT(refusal(tiny(), {{"M_LEARNING_RAT", "3"}}), HasSubstr("nearest: M_LEARNING_RATE"));
  Resolved other = resolve(tiny(), {{"M_QQQQQQQQQQ", "3"}});
  EXPECT_THAT(other.notices, Contains("environment M_QQQQQQQQQQ names no key: it has no effect"));
}

TEST(Words, WithoutAHomeThereIsNoCacheAtTheRoot) {
  Resolved r = resolve(tiny());
  EXPECT_EQ(r.config.jax_cache_dir, "");
  EXPECT_THAT(r.notices, Contains(HasSubstr("HOME is not set: no compile cache is kept")));
  EXPECT_EQ(resolve(tiny(), {{"HOME", "/home/a"}}).config.jax_cache_dir, "/home/a/.cache/fathom");
  EXPECT_EQ(resolve(tiny({"jax_cache_dir=/c"})).config.jax_cache_dir, "/c");
  EXPECT_THAT(refusal(tiny({"jax_cache_dir=~/c"})), HasSubstr("jax_cache_dir: ~/c: HOME is not set"));
  EXPECT_THAT(refusal(tiny({"base_output_directory=~/runs"})),
              HasSubstr("base_output_directory: ~/runs: HOME is not set"));
}

TEST(Words, AScheduleThatEndsBeforeTheRunIsTold) {
  EXPECT_THAT(resolve(tiny({"steps=10", "learning_rate_schedule_steps=4"})).notices,
              Contains("learning_rate_schedule_steps=4 is less than steps=10: the learning rate is 0 from step 4 on"));
  EXPECT_THAT(resolve(tiny({"steps=10", "learning_rate_schedule_steps=10"})).notices,
              Not(Contains(HasSubstr("learning rate is 0"))));
}

// The peer's scripts for these models set them.
TEST(Words, KeysOfThePeersScriptsAreTaken) {
  Resolved r = resolve(tiny({"use_tokamax_gmm=True", "use_tokamax_splash=True", "checkpoint_storage_concurrent_gb=1024",
                             "mla_naive_kvcache=false", "float32_logits=True", "float32_qk_product=True",
                             "attention=cudnn_flash_te", "sa_block_q=2048", "remat_policy=custom",
                             "decoder_layer_input=offload", "out_proj=offload", "query_proj=device", "mlpwo=remat"}));
  for (const char* key : {"use_tokamax_gmm=True", "use_tokamax_splash=True", "checkpoint_storage_concurrent_gb=1024",
                          "mla_naive_kvcache=false", "float32_logits=True", "float32_qk_product=True"}) {
    EXPECT_THAT(r.notices, Contains(StartsWith(std::string(key) + " has no effect: "))) << key;
  }
  EXPECT_THAT(r.notices, Contains("attention=cudnn_flash_te is taken as flash"));
  EXPECT_THAT(r.notices, Contains("out_proj=offload is taken as device: a CPU's memory is the host's"));
  EXPECT_EQ(r.config.attention, AttentionKind::kFlash);
  EXPECT_THAT(r.config.remat_saved, testing::UnorderedElementsAre("out_proj", "query_proj"));
}

TEST(Words, WhatIsOffloadedWaitsInTheHostsMemoryElsewhereThanOnACpu) {
  const std::vector<std::string> tpu = {"hardware=tpu"}, topology = {"compile_topology=v5p-256"};
  for (const std::vector<std::string>& where : {tpu, topology}) {
    auto saved = [&](std::vector<std::string> words) {
      words.insert(words.end(), where.begin(), where.end());
      return resolve(tiny(words)).config.remat_saved;
    };
    EXPECT_THAT(saved({"remat_policy=custom", "decoder_layer_input=offload", "context=device"}),
                testing::UnorderedElementsAre("decoder_layer_input@host", "context"));
    EXPECT_THAT(saved({"remat_policy=qkv_proj_offloaded"}), testing::IsSupersetOf({"query_proj@host", "kv_proj@host"}));
    EXPECT_THAT(saved({"decoder_layer_input=offload"}), testing::IsEmpty()) << "the key is of remat_policy=custom";
  }
}

TEST(Words, OfSingleTensorsBesideAPolicyThatTakesNoneAreTold) {
  const Resolved full =
      resolve(tiny({"remat_policy=full", "decoder_layer_input=offload", "mlpwo=device", "mlpwi=offload"}));
  EXPECT_THAT(full.notices, Contains("mlpwo=device, decoder_layer_input=offload have no effect with remat_policy=full: "
                                     "remat_policy=custom takes the keys of single tensors"));
  EXPECT_THAT(full.notices, Contains(StartsWith("mlpwi=offload has no effect: ")));
  EXPECT_THAT(resolve(tiny({"remat_policy=minimal", "context=device"})).notices,
              Contains(StartsWith("context=device has no effect with remat_policy=minimal")));
  for (const auto& words : {tiny({"remat_policy=custom", "mlpwo=device"}), tiny({"mlpwo=remat"})}) {
    EXPECT_THAT(resolve(words).notices, Not(Contains(HasSubstr("no effect"))));
  }
}

TEST(Words, ModelsOfTheFamilyThatAreNotBuiltAreTold) {
  for (const char* name : {"deepseek4-284b", "deepseek-custom", "kimi-k2-1t", "deepseek4-tiny"}) {
    EXPECT_THAT(refusal(tiny({std::string("model_name=") + name})),
                AllOf(HasSubstr(std::string("model_name=") + name + ": this model of the family is not built"),
                      HasSubstr("built: deepseek2-16b, ")));
  }
  EXPECT_THAT(refusal(tiny({"model_name=deepseek3-671b-batchsplit"})), HasSubstr("give model_name=deepseek3-671b"));
  EXPECT_THAT(refusal(tiny({"model_name=" + std::string(100000, 'x')})), HasSubstr("no such model"));
}

int64_t rules(const Config& c, const std::string& logical) {
  return std::count_if(c.logical_axis_rules.begin(), c.logical_axis_rules.end(),
                       [&](const AxisRule& rule) { return rule.logical == logical; });
}

TEST(CustomMesh, PutsItsAxesAndRulesOverTheOthers) {
  Config c = resolve(tiny({"custom_mesh_and_rule=pure-fsdp"})).config;
  EXPECT_THAT(c.mesh_axes, ElementsAre("fsdp"));
  EXPECT_THAT(c.logical_axis_rules, Contains(AxisRule{"embed", {"fsdp"}}));
  EXPECT_EQ(rules(c, "embed"), 1);
  EXPECT_EQ(rules(c, "exp"), 1) << "other rules stay";
  c = resolve(tiny({"custom_mesh_and_rule=shard-exp-on-fsdp", "logical_axis_rules=[[exp, [expert]]]"})).config;
  EXPECT_THAT(c.logical_axis_rules, Contains(AxisRule{"exp", {"expert"}})) << "the command line wins";
  EXPECT_EQ(rules(c, "exp"), 1);
  c = resolve(tiny({"custom_mesh_and_rule=ep-as-cp", "cpu_device_count=2", "ici_expert_parallelism=2"})).config;
  EXPECT_THAT(c.logical_axis_rules, Contains(AxisRule{"activation_length", {"expert"}}));
  EXPECT_THAT(refusal(tiny({"custom_mesh_and_rule=pipeline-large-moe"})),
              AllOf(HasSubstr("this set of rules is not built; built: cp-as-ep, ep-as-cp, ep-as-dp, pure-fsdp, "
                              "shard-exp-on-fsdp"),
                    HasSubstr("mesh_axes and logical_axis_rules")));
  EXPECT_THAT(refusal(tiny({"custom_mesh_and_rule=pure-fsdp", "cpu_device_count=2", "ici_expert_parallelism=2"})),
              HasSubstr("ici_expert_parallelism=2: mesh_axes has no axis 'expert'"));
}

// The files and what is said besides; a resolved configuration of each must resolve to itself.
class Reproduced : public testing::TestWithParam<Args> {};

std::string shown(const testing::TestParamInfo<Args>& info) { return "case" + std::to_string(info.index); }

TEST_P(Reproduced, AResolvedFileGivesTheSameRun) {
  TemporaryFolder folder;
  Environment environment = {{"HOME", "/home/a"}};
  Args args = {"base_output_directory=out", "run_name=r"};
  args.insert(args.begin(), GetParam().begin(), GetParam().end());
  Config first = resolve_config(args, environment).config;
  std::string written = to_yaml(first);
  std::string file = folder.write("config.yml", written);
  Resolved again = resolve_config(Args{file}, environment);
  EXPECT_EQ(to_yaml(again.config), written) << testing::PrintToString(GetParam());
  EXPECT_EQ(again.config.num_decoder_layers, first.num_decoder_layers);
  EXPECT_EQ(again.config.emb_dim, first.emb_dim);
  EXPECT_EQ(again.config.softmax_scale_factor, first.softmax_scale_factor);
  EXPECT_EQ(again.config.remat_saved, first.remat_saved);
  EXPECT_EQ(again.config.run_directory, first.run_directory);
  // It may be changed like any other file.
  Config changed = resolve_config(Args{file, "base_emb_dim=32", "steps=3"}, environment).config;
  EXPECT_EQ(changed.base_emb_dim, 32);
  EXPECT_EQ(changed.base_num_decoder_layers, first.base_num_decoder_layers);
}

INSTANTIATE_TEST_SUITE_P(
    Configurations, Reproduced,
    testing::Values(Args{"model_name=deepseek3-mini", "dataset_type=synthetic"},
                    Args{"model_name=deepseek3-mini", "dataset_type=synthetic", "override_model_config=True",
                         "base_num_decoder_layers=2", "base_emb_dim=32", "base_mlp_dim=16", "num_experts=4",
                         "num_experts_per_tok=2"},
                    Args{"model_name=deepseek3-671b", "dataset_type=synthetic", "defaults=maxtext"},
                    Args{"model_name=deepseek2-236b", "dataset_type=synthetic", "n_routing_groups=4",
                         "topk_routing_group=3", "mscale_all_dim=0"},
                    Args{"model_name=deepseek2-16b", "dataset_type=synthetic", "remat_policy=custom", "mlpwo=device",
                         "weight_dtype=bfloat16", "steps=-1", "learning_rate_schedule_steps=7",
                         "learning_rate=1.2345678901e-5", "jax_cache_dir=null",
                         "prompt=\"say \\\"\\\\${x}\\\" : # [\\n\"", "adamw_mask=['[a-z]+\\.norm$', 'b']"},
                    Args{"model_name=deepseek3-tiny", "dataset_type=synthetic", "cpu_device_count=2",
                         "ici_expert_parallelism=2", "custom_mesh_and_rule=ep-as-cp",
                         "logical_axis_rules=[[embed, [fsdp]]]"},
                    Args{"model_name=deepseek3-tiny", "dataset_type=synthetic", "override_logical_axis_rules=True",
                         "logical_axis_rules=[[embed, [fsdp]], [activation_batch, [fsdp]]]"},
                    Args{"model_name=default", "dataset_type=synthetic", "base_moe_mlp_dim=32", "num_experts=4",
                         "global_parameter_scale=2"}),
    shown);

// What the peer does with a file of one's own: the model file wins, unless the file says otherwise.
TEST(ModelFile, WinsOverAFileThatDoesNotSayOtherwise) {
  TemporaryFolder folder;
  std::string text = "base_config: base.yml\nmodel_name: deepseek3-mini\nbase_num_decoder_layers: 2\n";
  Args args = {folder.write("a.yml", text), "dataset_type=synthetic"};
  EXPECT_EQ(resolve(args).config.num_decoder_layers, 6);
  args.emplace_back("override_model_config=True");
  EXPECT_EQ(resolve(args).config.num_decoder_layers, 6);
  args = {folder.write("b.yml", text + "override_model_config: true\n"), "dataset_type=synthetic"};
  EXPECT_EQ(resolve(args).config.num_decoder_layers, 2);
  EXPECT_EQ(resolve(args).config.emb_dim, 256);
}

}  // namespace
}  // namespace fathom
