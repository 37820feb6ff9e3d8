// train_compile from outside: for machines that are not here.
#include <gmock/gmock.h>

#include <map>
#include <regex>

#include "aot/ahead_of_time.h"
#include "base/error.h"
#include "base/file.h"
#include "config/resolve/resolve.h"
#include "mesh/device_mesh.h"
#include "runtime/donation.h"
#include "runtime/plugin_search.h"
#include "train_run.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Two layers, one with experts; axes of whole tiles, so that little is padding on a device.
const Words kModel = {"configs/base.yml",           "run_name=test",
                      "dataset_type=synthetic",     "model_name=deepseek3-tiny",
                      "override_model_config=True", "base_num_decoder_layers=2",
                      "first_num_dense_layers=1",   "vocab_size=2048",
                      "base_emb_dim=1024",          "base_mlp_dim=1024",
                      "base_moe_mlp_dim=512",       "q_lora_rank=256",
                      "kv_lora_rank=256",           "dtype=float32",
                      "weight_dtype=float32",       "per_device_batch_size=1",
                      "max_target_length=128"};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Outcome compile(const Words& keys) {
  Process run(with({"train_compile"}, keys));
  int code = run.wait();
  return {code, run.out(), run.err()};
}

// The whole number after `name=`; -1 where there is none.
int64_t figure(const std::string& text, const std::string& name) {
  std::smatch m;
  return std::regex_search(text, m, std::regex(name + "=([0-9]+)")) ? std::stoll(m[1]) : -1;
}

// The program of these keys as it is compiled for a machine.
StagedProgram staged(const Words& keys, const Machine& machine) {
  Target target{.hardware = machine.hardware, .kernels = {}};
  Config config = resolve_config(keys, {}, {.needs_data = false}).config;
  return stage(config, ProgramKind::kTrain, machine.devices, machine.slices, target);
}

class CompileForTpu : public testing::Test {
 protected:
  void SetUp() override {
    if (installed_plugins(Hardware::kTpu).empty()) GTEST_SKIP() << "libtpu is not installed: ./run setup tpu";
  }
};

TEST_F(CompileForTpu, ArgumentsAreTheBytesOfTheParameterTable) {
  Words keys = with(kModel, {"compile_topology=v5e-4"});
  Outcome o = compile(keys);
  ASSERT_EQ(o.exit_code, 0) << o.err;
  // Vectors and narrow matrices are padded to tiles: a few kilobytes for each of some hundred arrays.
  auto table = static_cast<double>(argument_bytes(staged(kModel, find_machine("v5e-4", 1).value()).signature));
  double arguments = static_cast<double>(figure(o.out, "argument_size_in_bytes"));
  EXPECT_GE(arguments, table);
  EXPECT_LT(arguments, table * 1.005);
  EXPECT_GT(figure(o.out, "temp_size_in_bytes"), 0);
  EXPECT_THAT(o.out, AllOf(HasSubstr("Cost analysis: {"), HasSubstr("'flops': "), HasSubstr("fits: yes (needed "),
                           HasSubstr(" of 16.91 GB per device)"), HasSubstr("estimate: "),
                           HasSubstr(" over the links; at least "), HasSubstr(" s at the chip's peaks\n")));
  EXPECT_TRUE(std::regex_search(o.out, std::regex("seconds: text [0-9.]+, compile [0-9.]+, total [0-9.]+\n$")));
}

TEST_F(CompileForTpu, EveryDonatedArrayIsTakenOverByItsResultThoughArraysArePadded) {
  Machine machine = find_machine("v5e-4", 1).value();
  StagedProgram step = staged(kModel, machine);
  Verdict verdict = compile_ahead(topology_of(machine, ""), step, "", 0);
  ASSERT_TRUE(verdict.fits()) << verdict.refusal;
  EXPECT_GT(verdict.memory.alias, donated_bytes(step.signature)) << "bytes cannot tell: vectors are padded to tiles";
  auto aliases = memory_aliases(verdict.program->optimized_program());
  EXPECT_GT(aliases.size(), 60U);
  EXPECT_EQ(donation_fault(step.signature, aliases), "");
  EXPECT_NO_THROW(check_donation(*verdict.program, step.signature));
  // An argument that is in memory twice may be less than the padding of all arrays.
  Signature more = step.signature;
  ArgSpec& kept = more.args.back();
  ASSERT_FALSE(kept.donated_to);
  kept.donated_to = 0;
  EXPECT_LT(donated_bytes(more), verdict.memory.alias);
  EXPECT_THAT([&] { check_donation(*verdict.program, more); },
              testing::ThrowsMessage<RuntimeFault>(HasSubstr("'" + kept.name + "' is taken over by no result")));
}

// So that --no_compile says the same. What the runtime keeps for itself differs by some kilobytes between slices.
TEST_F(CompileForTpu, TheTableHasTheMemoryThatTheCompilerCounts) {
  for (const char* name : {"v4-8", "v4-1024", "v5p-8", "v5p-256", "v5p-2048", "v5e-1", "v5e-4", "v5e-256", "v6e-1",
                           "v6e-4", "v6e-256", "tpu7x-8", "tpu7x-512"}) {
    const Machine machine = find_machine(name, 1).value();
    const int64_t told = topology_of(machine, "")->devices().front().memory_bytes;
    EXPECT_NEAR(static_cast<double>(machine.memory_bytes), static_cast<double>(told), 1e6) << name;
  }
}

TEST_F(CompileForTpu, OtherProgramsAreCompiledToo) {
  std::map<std::string, Outcome> of;
  for (std::string program : {"init", "eval", "forward"}) {
    Outcome& o = of[program] = compile(with(kModel, {"compile_topology=v5e-4", "program=" + program}));
    ASSERT_EQ(o.exit_code, 0) << program << ": " << o.err;
    EXPECT_THAT(o.out, AllOf(HasSubstr("Memory analysis: CompiledMemoryStats("), HasSubstr("fits: yes (needed ")));
  }
  // What init makes a training step takes; an evaluation has no moments; logits are 128 x 2048 float32 a row.
  EXPECT_GT(figure(of["init"].out, "output_size_in_bytes"), 2 * figure(of["eval"].out, "argument_size_in_bytes"));
  EXPECT_GE(figure(of["forward"].out, "output_size_in_bytes"), 128 * 2048 * 4);
}

// The page's two commands for V3.2 on v5p-256, with two narrow layers: what is wide takes the compiler minutes.
TEST_F(CompileForTpu, BothStagesOfTheIndexerCompileForThePodsMesh) {
  for (const char* stage : {"indexer_sparse_training=False", "indexer_sparse_training=True"}) {
    Outcome o = compile({"configs/base.yml",
                         "run_name=test",
                         "dataset_type=synthetic",
                         "model_name=deepseek3.2-671b",
                         "override_model_config=True",
                         "base_num_decoder_layers=2",
                         "first_num_dense_layers=1",
                         "base_emb_dim=256",
                         "base_mlp_dim=256",
                         "base_moe_mlp_dim=128",
                         "num_experts=8",
                         "base_num_query_heads=4",
                         "base_num_kv_heads=4",
                         "indexer_n_heads=4",
                         "indexer_topk=256",
                         "vocab_size=512",
                         "per_device_batch_size=1",
                         "max_target_length=1024",
                         "ici_fsdp_parallelism=128",
                         "attention=flash",
                         "dtype=bfloat16",
                         "weight_dtype=bfloat16",
                         "megablox=True",
                         "sparse_matmul=True",
                         "compile_topology=v5p-256",
                         "indexer_loss_scaling_factor=0.01",
                         stage});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_THAT(o.out, HasSubstr("fits: yes (needed ")) << stage;
  }
}

// The page's command for decoding on v5p-256.
Words decoding(const char* model, const char* program) {
  return {"configs/base.yml",
          "run_name=decode",
          "compile_topology=v5p-256",
          std::string("model_name=") + model,
          std::string("program=") + program,
          "scan_layers=False",
          "enable_checkpointing=true",
          "async_checkpointing=false",
          "per_device_batch_size=1",
          "max_prefill_predict_length=100",
          "max_target_length=1024",
          "attention=dot_product",
          "dtype=bfloat16",
          "weight_dtype=bfloat16",
          "megablox=False",
          "sparse_matmul=False",
          "ici_tensor_parallelism=128",
          "ici_fsdp_parallelism=1"};
}

// With two narrow layers. Of each the cache of 128 rows has 134 MB of latents, which no device splits and gathers
// again.
TEST_F(CompileForTpu, DecodingOnThePodsMeshKeepsItsCacheInPlace) {
  const Words narrow = {"override_model_config=True",
                        "base_num_decoder_layers=2",
                        "first_num_dense_layers=1",
                        "base_emb_dim=1024",
                        "base_mlp_dim=1024",
                        "base_moe_mlp_dim=256",
                        "num_experts=8",
                        "n_routing_groups=4",
                        "topk_routing_group=2",
                        "num_experts_per_tok=2",
                        "q_lora_rank=256",
                        "vocab_size=2048"};
  const Outcome step = compile(with(with(decoding("deepseek3.2-671b", "decode"), narrow), {"indexer_topk=256"}));
  ASSERT_EQ(step.exit_code, 0) << step.err;
  const int64_t cache = int64_t{2} * 128 * 1024 * (512 + 64 + 128) * 2;
  EXPECT_NEAR(static_cast<double>(figure(step.out, "alias_size_in_bytes")), static_cast<double>(cache), 1e6);
  EXPECT_LT(figure(step.out, "temp_size_in_bytes"), 20'000'000);
  std::smatch links;
  ASSERT_TRUE(std::regex_search(step.out, links, std::regex("([0-9.e-]+) GB over the links"))) << step.out;
  EXPECT_LT(std::stod(links[1]), 0.02);
  const Outcome prompts = compile(with(with(decoding("deepseek3-671b", "prefill"), narrow),
                                       {"max_prefill_predict_length=16", "per_device_batch_size=0.25"}));
  ASSERT_EQ(prompts.exit_code, 0) << prompts.err;
  EXPECT_LT(figure(prompts.out, "temp_size_in_bytes"), 40'000'000) << "of a cache of 75 MB";
}

TEST_F(CompileForTpu, StateThatDoesNotFitIsAnAnswerWithWhatWouldHelp) {
  // 15.7e9 parameters, 12 bytes each, on 4 devices of 16 GB.
  Outcome o =
      compile({"configs/base.yml", "run_name=test", "dataset_type=synthetic", "model_name=deepseek2-16b",
               "weight_dtype=float32", "per_device_batch_size=1", "max_target_length=128", "compile_topology=v5e-4"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("fits: no (needed "), HasSubstr("GB a device too much"),
                           HasSubstr("weight_dtype=bfloat16"), HasSubstr("mu_dtype=bfloat16"),
                           HasSubstr("a machine of about 16 devices"), HasSubstr("\nestimate: "),
                           HasSubstr("(what goes over the links is known when it is compiled)\n")));
}

TEST_F(CompileForTpu, TextForThePodIsWrittenBeforeItIsCompiledAndGathersSomeExpertsAtATime) {
  TemporaryFolder folder;
  std::string file = folder / "step.txt";
  Process run({"train_compile", "configs/base.yml", "run_name=test", "dataset_type=synthetic",
               "model_name=deepseek3-671b", "dtype=bfloat16", "weight_dtype=bfloat16", "sparse_matmul=False",
               "megablox=False", "per_device_batch_size=1", "max_target_length=1024", "compile_topology=v5p-256",
               "--text=" + file});
  std::smatch said;
  std::string err;
  // The compilation itself takes minutes: the run ends with its log line.
  for (int tries = 0; tries < 600 && run.running(); ++tries) {
    err = run.err();
    if (std::regex_search(err, said, std::regex("StableHLO in ([0-9.]+) s; compiling"))) break;
    ::usleep(100'000);
  }
  ASSERT_FALSE(said.empty()) << run.err();
  // Never are all experts of a layer whole on a device: 7.5 GB a matrix.
  std::string text = read_file(file);
  std::smatch gathered;
  const std::regex whole(R"(all_gather.*-> tensor<(\d+)x(?:2048x7168|7168x2048)xbf16>)");
  int found = 0;
  for (auto at = text.cbegin(); std::regex_search(at, text.cend(), gathered, whole); at = gathered[0].second) {
    EXPECT_EQ(gathered[1], "32");
    ++found;
  }
  EXPECT_EQ(found, 6);  // three matrices, forward and backward
}

TEST(CompileForGpu, FitsEightOfTheMachines) {
  if (installed_plugins(Hardware::kGpu).empty()) GTEST_SKIP() << "the CUDA plugin is not installed: ./run setup cuda";
  Outcome o = compile(with(kModel, {"compile_topology=h100-8"}));
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("Memory analysis: CompiledMemoryStats("), HasSubstr("fits: yes (needed ")));
}

// Runs without any plugin that could be found.
Outcome compile_without_plugins(const Words& keys) {
  TemporaryFolder empty;
  ::setenv("FATHOM_SITE_PACKAGES", empty.path().c_str(), 1);
  Outcome o = compile(keys);
  ::unsetenv("FATHOM_SITE_PACKAGES");
  return o;
}

TEST(CompileWithoutTheCompiler, PrintsTextStateAndShardingsForMachinesWhosePluginIsNotThere) {
  TemporaryFolder folder;
  std::string file = folder / "step.txt";
  Words keys = with(kModel, {"compile_topology=v5e-4", "ici_expert_parallelism=2"});
  Outcome o = compile_without_plugins(with(keys, {"--no_compile", "--text=" + file}));
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(read_file(file), staged(keys, find_machine("v5e-4", 1).value()).text);
  Config config = resolve_config(keys, {}, {.needs_data = false}).config;
  int64_t state = state_spec(config, resolve_mesh(config, 4).mesh).bytes_of_a_device();
  EXPECT_THAT(o.out, AllOf(testing::StartsWith("state: "), HasSubstr(" GB of 16.91 GB per device ("),
                           HasSubstr(std::to_string(state) + " bytes: parameters "),
                           HasSubstr("\nsharding: params.decoder.logits_dense.kernel sizes=[1024,2048] "
                                     "axes=[fsdp+expert,-]\n"),
                           HasSubstr("\nseconds: text ")));
  EXPECT_THAT(o.out, testing::Not(HasSubstr("Memory analysis")));
}

// The page's command for V3 with dense experts. An expert has three matrices of 7168 x 2048: of each token and layer
// three products forward, six backward, and two again, for its matrices are gathered anew in the backward pass.
TEST(CompileWithoutTheCompiler, SaysHowManyProductsOfExpertsNobodyNeeds) {
  auto estimate = [](const char* sparse) {
    const Outcome o = compile_without_plugins(
        {"configs/base.yml", "run_name=test", "dataset_type=synthetic", "model_name=deepseek3-671b",
         "compile_topology=v5p-256", "dtype=bfloat16", "weight_dtype=bfloat16", "per_device_batch_size=1",
         "max_target_length=1024", "remat_policy=none", "megablox=False", sparse, "--no_compile"});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    const bool dense = std::string_view(sparse) == "sparse_matmul=False";
    EXPECT_EQ(dense, o.err.find("all 256 experts, of which 8 are chosen: 32 times") != std::string::npos) << o.err;
    std::smatch m;
    const std::regex line(
        "\nestimate: ([0-9.]+) TFLOP per device and step needed by the model, ([0-9.]+) executed "
        "\\(recomputation and experts that were not chosen included\\); at least [0-9.]+ s ");
    EXPECT_TRUE(std::regex_search(o.out, m, line)) << o.out;
    return std::pair(std::stod(m[1]), std::stod(m[2]));
  };
  const auto dense = estimate("sparse_matmul=False"), chosen = estimate("sparse_matmul=True");
  EXPECT_EQ(dense.first, chosen.first);
  const double not_chosen = 58.0 * (256 - 8) * (3 + 6 + 2) * 2 * 7168 * 2048 * 1024 * 1e-12;
  EXPECT_NEAR(dense.second - chosen.second, not_chosen, 2) << "in whole TFLOP";
  EXPECT_GT(dense.second, 15 * dense.first);
}

// 576 numbers a token and layer, of 128 rows of 1,024.
TEST(CompileWithoutTheCompiler, CountsWhatDecodingOnThePodHolds) {
  struct Model {
    const char* name;
    double parameters;  // GB
  };
  for (const Model& model : {Model{"deepseek3-671b", 10.6}, Model{"deepseek3.2-671b", 12.2}}) {
    const Outcome o = compile_without_plugins(with(decoding(model.name, "decode"), {"--no_compile"}));
    ASSERT_EQ(o.exit_code, 0) << o.err;
    std::smatch m;
    ASSERT_TRUE(std::regex_search(o.out, m, std::regex("parameters ([0-9]+), moments 0, step 0, cache ([0-9]+)\\)\n")))
        << o.out;
    EXPECT_LT(std::stod(m[1]), model.parameters * 1e9);
    EXPECT_EQ(std::stoll(m[2]), int64_t{128} * 1024 * 61 * 576 * 2);
  }
}

TEST(CompileWithoutTheCompiler, TakesTheProgramAsAWordOrAFlag) {
  Words keys = with(kModel, {"compile_topology=h100-8", "--no_compile"});
  Outcome word = compile_without_plugins(with(keys, {"program=forward"}));
  Outcome flag = compile_without_plugins(with(keys, {"--program=forward"}));
  ASSERT_EQ(word.exit_code, 0) << word.err;
  EXPECT_THAT(word.out, HasSubstr(", moments 0, step 0)")) << "no optimizer";
  EXPECT_EQ(word.lines().front(), flag.lines().front());
}

TEST(CompileWithoutTheCompiler, DescribesTheDevicesThatAreThere) {
  Outcome o = compile(with(kModel, {"hardware=cpu", "cpu_device_count=2", "--no_compile"}));
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("sharding: params.token_embedder.embedding sizes=[2048,1024] axes=[-,fsdp]"));
}

TEST(CompileMistakes, AnUnknownProgramAndAFileForAnotherThanTheTrainStepAreRefused) {
  Outcome other = compile(with(kModel, {"compile_topology=v5e-4", "program=decoder"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("program=decoder: no program of that name; there are train, init"));
  Outcome file = compile(with(kModel, {"compile_topology=v5e-4", "program=init", "compiled_trainstep_file=x"}));
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.err,
              HasSubstr("compiled_trainstep_file=x: holds a compiled train step; leave it out with program=init"));
}

TEST(CompileMistakes, UnknownMachineIsToldItsNearest) {
  Outcome o = compile(with(kModel, {"compile_topology=v5p-255"}));
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_EQ(o.out, "");
  EXPECT_THAT(o.err, AllOf(HasSubstr("compile_topology=v5p-255: no machine of that name"), HasSubstr("v5p-256")));
}

}  // namespace
}  // namespace fathom
