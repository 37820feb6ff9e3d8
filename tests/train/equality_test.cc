// Keys that choose how a step is computed must not change what it computes.
#include <gmock/gmock.h>

#include <algorithm>

#include "config/enums.h"
#include "runtime/plugin_search.h"
#include "train_run.h"

namespace fathom {
namespace {

// Float32 sums in another order: a few units of 2^-23 on the loss of equal weights; the steps that follow divide small
// gradients by their own size, which magnifies it.
constexpr double kFirstLoss = 1e-6;
constexpr double kLater = 1e-5;

// `both`: keys of both runs.
void expect_the_same(Words keys, const Words& both = {}) {
  keys.insert(keys.end(), both.begin(), both.end());
  TrainRun usual(both), other(keys);
  std::vector<double> a = usual.losses(), b = other.losses();
  ASSERT_EQ(a.size(), 5u);
  ASSERT_EQ(b.size(), 5u);
  EXPECT_NE(a[4], a[0]) << "the run learns nothing: a comparison would say nothing";
  EXPECT_TRUE(near({a[0], a[1]}, {b[0], b[1]}, kFirstLoss)) << "equal weights, for the first rate is 0";
  EXPECT_TRUE(near(a, b, kLater));
  EXPECT_EQ(usual.values("learning/total_weights"), other.values("learning/total_weights"));
  for (const char* scalar : {"learning/z_loss", "learning/raw_grad_norm", "learning/param_norm"}) {
    EXPECT_TRUE(near(usual.values(scalar), other.values(scalar), kLater)) << scalar;
  }
}

TEST(TrainEquality, TwoMicroBatchesAreOneBatchOfTwiceTheRows) {
  expect_the_same({"gradient_accumulation_steps=2", "per_device_batch_size=2"});
}

TEST(TrainEquality, ScannedAndUnscannedLayers) { expect_the_same({"scan_layers=false"}); }

TEST(TrainEquality, FlashAndPlainAttention) { expect_the_same({"attention=flash"}); }

TEST(TrainEquality, FlashAttentionWithoutKernels) { expect_the_same({"attention=flash", "kernels=off"}); }

TEST(TrainEquality, GroupedAndDenseExperts) {
  expect_the_same({"sparse_matmul=false"}, {"load_balance_loss_weight=0.1"});
}

TEST(TrainEquality, KernelsAndComposedForms) { expect_the_same({"kernels=off"}); }

TEST(TrainEquality, NothingRecomputed) { expect_the_same({"remat_policy=none"}); }

TEST(TrainEquality, SomeTensorsKept) { expect_the_same({"remat_policy=minimal_with_context"}); }

// Four virtual devices, one row each: the same four rows.
void expect_the_same_on_a_mesh(Words mesh, const Words& both = {}) {
  mesh.insert(mesh.end(), {"cpu_device_count=4", "per_device_batch_size=1"});
  expect_the_same(mesh, both);
}

TEST(TrainEquality, OneDeviceAndFullySharded) { expect_the_same_on_a_mesh({"ici_fsdp_parallelism=4"}); }

TEST(TrainEquality, OneDeviceAndFullyShardedUnscannedWithoutRemat) {
  expect_the_same_on_a_mesh({"ici_fsdp_parallelism=4", "scan_layers=false", "remat_policy=none"});
}

TEST(TrainEquality, OneDeviceAndFullyShardedWithTensorParallelism) {
  expect_the_same_on_a_mesh({"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"});
}

TEST(TrainEquality, OneDeviceAndDataWithExpertParallelism) {
  expect_the_same_on_a_mesh({"ici_data_parallelism=2", "ici_expert_parallelism=2", "ici_fsdp_parallelism=1"});
}

TEST(TrainEquality, OneDeviceAndContextWithFullySharded) {
  expect_the_same_on_a_mesh({"ici_context_parallelism=2", "ici_fsdp_parallelism=2", "attention=flash"});
}

TEST(TrainEquality, OneDeviceAndAMeshWithSparseAttention) {
  const Words sparse = {"load_parameters_path=tests/data/deepseek_v32/hf", "attention=flash",
                        "indexer_loss_scaling_factor=0.1", "indexer_sparse_training=True"};
  expect_the_same_on_a_mesh({"ici_fsdp_parallelism=2", "ici_tensor_parallelism=2"}, sparse);
  expect_the_same_on_a_mesh({"ici_context_parallelism=2", "ici_expert_parallelism=2", "ici_fsdp_parallelism=1"},
                            sparse);
}

TEST(TrainEquality, OneDeviceAndAMeshWithMultiTokenPrediction) {
  expect_the_same_on_a_mesh({"ici_fsdp_parallelism=2", "ici_expert_parallelism=2"}, {"mtp_num_layers=1"});
}

// A sum in another order moves single numbers to their other neighbour, 2^-4 away: by that alone the loss of a model as
// small as this one moves by up to 1e-3 (on one device, between attention=flash and dot_product). Gradients are another
// rounding besides, for devices begin their own blocks of an expert's tokens. AdamW then divides small gradients by
// their own size, so later steps are not compared. Layers are compared block by block in tests/parallel/fp8_test.cc.
TEST(TrainEquality, OneDeviceAndAMeshInFp8) {
  constexpr double kNeighbours = 1e-3;
  auto beginning = [](std::vector<double> values) { return std::vector<double>{values.at(0), values.at(1)}; };
  const TrainRun one({"quantization=fp8", "steps=2"}), without({"steps=2"});
  EXPECT_FALSE(near(beginning(one.losses()), beginning(without.losses()), kNeighbours)) << "fp8 has no effect";
  const TrainRun mesh({"quantization=fp8", "steps=2", "cpu_device_count=4", "per_device_batch_size=1",
                       "ici_fsdp_parallelism=2", "ici_expert_parallelism=2"});
  EXPECT_TRUE(near(beginning(mesh.losses()), beginning(one.losses()), kNeighbours));
  const char* norm = "learning/raw_grad_norm";
  EXPECT_TRUE(near(beginning(mesh.values(norm)), beginning(one.values(norm)), kNeighbours));
}

// Each set of rules, its axes split two ways.
TEST(TrainEquality, OneDeviceAndTheRulesOfPureFsdp) {
  expect_the_same_on_a_mesh({"custom_mesh_and_rule=pure-fsdp", "ici_fsdp_parallelism=4"});
}

TEST(TrainEquality, OneDeviceAndTheRulesOfShardExpOnFsdp) {
  expect_the_same_on_a_mesh(
      {"custom_mesh_and_rule=shard-exp-on-fsdp", "ici_fsdp_parallelism=2", "ici_expert_parallelism=2"});
}

TEST(TrainEquality, OneDeviceAndTheRulesOfEpAsCp) {
  expect_the_same_on_a_mesh({"custom_mesh_and_rule=ep-as-cp", "ici_fsdp_parallelism=2", "ici_expert_parallelism=2"});
}

TEST(TrainEquality, OneDeviceAndTheRulesOfCpAsEp) {
  expect_the_same_on_a_mesh({"custom_mesh_and_rule=cp-as-ep", "ici_context_parallelism=2", "ici_expert_parallelism=2"});
}

TEST(TrainEquality, OneDeviceAndTheRulesOfEpAsDp) {
  expect_the_same_on_a_mesh({"custom_mesh_and_rule=ep-as-dp", "ici_fsdp_parallelism=2", "ici_expert_parallelism=2"});
}

TEST(TrainEquality, CustomRemat) {
  expect_the_same({"remat_policy=custom", "decoder_layer_input=device", "query_proj=device", "out_proj=offload",
                   "moe_mlpwi_0=device", "mlpwo=remat"});
}

// What the lines of stdout say of the numbers: the rest of each from the count of targets on.
Words numbers(const Words& lines) {
  Words out;
  for (const std::string& line : lines) out.push_back(line.substr(std::min(line.find("total_weights"), line.size())));
  return out;
}

// Another model than the file of that name has: what the run was told wins there as well.
TEST(TrainEquality, ARunFromItsOwnConfiguration) {
  TrainRun first({"model_name=deepseek3-mini", "override_model_config=True", "base_num_decoder_layers=2",
                  "base_emb_dim=32", "dataset_type=synthetic", "dataset_path=", "load_parameters_path=", "steps=2"});
  ASSERT_EQ(first.outcome().exit_code, 0) << first.outcome().err;
  TemporaryFolder other;
  Process process({"train", first.folder() + "/config.yml", "base_output_directory=" + other.path()});
  EXPECT_EQ(process.wait(), 0) << process.err();
  Outcome again{.exit_code = 0, .out = process.out(), .err = process.err()};
  EXPECT_THAT(numbers(again.lines()), testing::ElementsAreArray(numbers(first.outcome().lines())));
  EXPECT_THAT(again.err, testing::HasSubstr("2 layers (1 dense), width 32"));
}

TEST(TrainEquality, OneDeviceAndAMeshOnTheOlderPlugin) {
  std::vector<std::string> plugins = installed_plugins(Hardware::kCpu);
  ASSERT_EQ(plugins.size(), 2u);
  expect_the_same_on_a_mesh({"ici_expert_parallelism=2", "ici_fsdp_parallelism=2", "plugin=" + plugins[1]});
}

TEST(TrainEquality, BothPlugins) {
  std::vector<std::string> plugins = installed_plugins(Hardware::kCpu);
  ASSERT_EQ(plugins.size(), 2u);
  // Their float32 products round differently on some processors, which AdamW magnifies in the second step (gradients by
  // 6e-4): in float64 the rest of the program is compared.
  expect_the_same({"plugin=" + plugins[1]}, {"matmul_precision=highest"});
}

TEST(TrainEquality, TwoRunsAreEqualToTheLastBit) {
  TrainRun first({"dataset_type=synthetic"}), second({"dataset_type=synthetic"});
  for (const char* scalar : {"learning/loss", "learning/raw_grad_norm", "learning/param_norm"}) {
    EXPECT_EQ(first.values(scalar), second.values(scalar)) << scalar;
  }
  TrainRun other({"dataset_type=synthetic", "data_shuffle_seed=1"});
  EXPECT_NE(first.losses(), other.losses());
}

// Bfloat16 has 8 bits: products lose 2^-9 each, and some tokens choose another expert.
TEST(TrainEquality, Bfloat16ActivationsStayNearFloat32) {
  EXPECT_TRUE(near(TrainRun().losses(), TrainRun({"dtype=bfloat16"}).losses(), 0.02));
}

TEST(TrainEquality, Bfloat16WeightsStayNearFloat32) {
  TrainRun run({"weight_dtype=bfloat16"});
  EXPECT_TRUE(near(TrainRun().losses(), run.losses(), 0.02));
  std::vector<double> norms = run.values("learning/param_norm");
  EXPECT_NE(norms[4], norms[0]) << "nothing is learned";
}

}  // namespace
}  // namespace fathom
