// train_compile from outside: for machines that are not here.
#include <gmock/gmock.h>

#include <regex>

#include "base/file.h"
#include "config/resolve/resolve.h"
#include "mesh/device_mesh.h"
#include "program/programs.h"
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

// Bytes a device of the state and the batch, as the table splits them.
int64_t bytes_of_state(const Words& keys, int64_t devices) {
  Config config = resolve_config(keys, {}).config;
  StateSpec spec = state_spec(config, resolve_mesh(config, devices).mesh);
  int64_t tokens = static_cast<int64_t>(config.per_device_batch_size) * config.max_target_length;
  return spec.bytes_of_a_device() + 20 * tokens + 4;  // five s32 a token; the wish to stop
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
  double table = static_cast<double>(bytes_of_state(keys, 4));
  double arguments = static_cast<double>(figure(o.out, "argument_size_in_bytes"));
  EXPECT_GE(arguments, table);
  EXPECT_LT(arguments, table * 1.005);
  EXPECT_GT(figure(o.out, "temp_size_in_bytes"), 0);
  EXPECT_THAT(o.out, AllOf(HasSubstr("Cost analysis: {"), HasSubstr("'flops': "), HasSubstr("fits: yes (needed "),
                           HasSubstr(" of 16.91 GB per device)")));
  EXPECT_TRUE(std::regex_search(o.out, std::regex("seconds: text [0-9.]+, compile [0-9.]+, total [0-9.]+\n$")));
}

TEST_F(CompileForTpu, StateThatDoesNotFitIsAnAnswerWithWhatWouldHelp) {
  // 15.7e9 parameters, 12 bytes each, on 4 devices of 17 GB.
  Outcome o =
      compile({"configs/base.yml", "run_name=test", "dataset_type=synthetic", "model_name=deepseek2-16b",
               "weight_dtype=float32", "per_device_batch_size=1", "max_target_length=128", "compile_topology=v5e-4"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("fits: no (needed "), HasSubstr("GB a device too much"),
                           HasSubstr("weight_dtype=bfloat16"), HasSubstr("mu_dtype=bfloat16"),
                           HasSubstr("a machine of about 16 devices")));
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

TEST(CompileMistakes, UnknownMachineIsToldItsNearest) {
  Outcome o = compile(with(kModel, {"compile_topology=v5p-255"}));
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_EQ(o.out, "");
  EXPECT_THAT(o.err, AllOf(HasSubstr("compile_topology=v5p-255: no machine of that name"), HasSubstr("v5p-256")));
}

}  // namespace
}  // namespace fathom
