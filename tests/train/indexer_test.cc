// The two stages of the indexer's training (V3.2 report, section 2.1.1), by the commands of MaxText's page "Run
// DeepSeek" on the small model.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "checkpoint/orbax_folder.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kModel = "tests/data/deepseek_v32/hf";

// As they stand on the page, the comment included; then what the small model and this machine need.
Words stage_command(const std::string& name, const Words& stage, const std::string& output, const Words& more) {
  Words out = {"train",
               "src/maxtext/configs/base.yml",
               "base_output_directory=" + output,
               "run_name=" + name,
               "model_name=auto",
               "tokenizer_type=huggingface",
               std::string("tokenizer_path=") + kModel,
               "per_device_batch_size=1",
               "enable_checkpointing=false",
               "async_checkpointing=false",
               "ici_fsdp_parallelism=2",
               "steps=5",
               "max_target_length=64",
               "attention=flash",
               "dtype=bfloat16",
               "weight_dtype=bfloat16",
               "megablox=True",
               "sparse_matmul=True",
               "dataset_type=synthetic"};
  out.insert(out.end(), stage.begin(), stage.end());
  for (const char* word : {"hardware=cpu", "cpu_device_count=2", "learning_rate=1e-2"}) out.emplace_back(word);
  out.push_back("jax_cache_dir=" + compile_cache());
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

const Words kWarmup = {"indexer_loss_scaling_factor=0.01", "indexer_sparse_training=False",
                       "trainable_parameters_mask=['.*indexer.*']"};
const Words kSparse = {"indexer_loss_scaling_factor=0.01", "indexer_sparse_training=True"};

std::map<std::string, HostArray> parameters(const std::string& checkpoint) {
  std::map<std::string, HostArray> out;
  const OrbaxFolder folder = OrbaxFolder::open(checkpoint);
  for (const StoredArray& array : folder.arrays()) {
    if (array.name.starts_with("params.")) out.emplace(array.name, folder.whole(array));
  }
  return out;
}

bool same(const HostArray& a, const HostArray& b) {
  return a.bytes() == b.bytes() && std::equal(a.data(), a.data() + a.bytes(), b.data());
}

bool of_indexer(const std::string& name) { return name.find(".indexer.") != std::string::npos; }

TEST(IndexerStages, WarmupMovesTheIndexersAloneAndTheSparseStageMovesAll) {
  TemporaryFolder folder;
  const Words saves = {"enable_checkpointing=true", "routed_bias_update_rate=0.001", "checkpoint_period=1",
                       std::string("load_parameters_path=") + kModel};
  Process warmup(stage_command("indexer_dense_warmup", kWarmup, folder.path(), saves));
  ASSERT_EQ(warmup.wait(), 0) << warmup.err();
  const std::string warm = folder / "indexer_dense_warmup/checkpoints/";
  EXPECT_THAT(warmup.out(), HasSubstr("lm_loss: 0.000, perplexity: 1.000"));
  for (const json& step : read_records(folder / "indexer_dense_warmup/metrics.jsonl")) {
    EXPECT_EQ(step.at("learning/loss"), step.at("learning/indexer_loss"));
    EXPECT_GT(step.at("learning/indexer_loss").get<double>(), 0);
  }
  const auto before = parameters(warm + "0"), after = parameters(warm + "4");
  ASSERT_FALSE(before.empty());
  for (const auto& [name, values] : before) {
    EXPECT_EQ(same(values, after.at(name)), !of_indexer(name)) << name;
  }

  Process sparse(stage_command("indexer_sparse_training", kSparse, folder.path(),
                               {"enable_checkpointing=true", "checkpoint_period=1", "routed_bias_update_rate=0.001",
                                "load_parameters_path=" + warm + "4/items"}));
  ASSERT_EQ(sparse.wait(), 0) << sparse.err();
  const auto last = parameters(folder / "indexer_sparse_training/checkpoints/4");
  for (const auto& [name, values] : after) EXPECT_FALSE(same(values, last.at(name))) << name;
}

TEST(IndexerStages, NewIndexersBeginFromAFolderWithoutThem) {
  TemporaryFolder folder;
  Words keys =
      stage_command("warmup", kWarmup, folder.path(),
                    {"load_parameters_path=tests/data/deepseek_v3/hf", "tokenizer_path=tests/data/deepseek_v3/hf",
                     "use_indexer=True", "indexer_n_heads=4", "indexer_head_dim=16", "indexer_topk=8"});
  Process refused(keys);
  EXPECT_EQ(refused.wait(), 2);
  EXPECT_THAT(refused.err(), HasSubstr("indexer"));
  keys.emplace_back("init_missing_parameters=['.*indexer.*']");
  Process taken(keys);
  ASSERT_EQ(taken.wait(), 0) << taken.err();
  EXPECT_THAT(taken.out(), HasSubstr("indexer_loss: "));
}

TEST(IndexerStages, RowsNoLongerThanTheKeptKeysAreTheDenseModels) {
  const std::string weights = std::string("load_parameters_path=") + kModel;
  const Words keys = {weights, std::string("tokenizer_path=") + kModel, "max_target_length=8", "steps=3"};
  Words dense = keys;
  dense.insert(dense.end(), {"use_indexer=False", "override_model_config=True"});
  const TrainRun with(keys), without(dense);
  ASSERT_EQ(with.outcome().exit_code, 0) << with.outcome().err;
  ASSERT_EQ(without.outcome().exit_code, 0) << without.outcome().err;
  EXPECT_EQ(with.losses(), without.losses());
}

}  // namespace
}  // namespace fathom
