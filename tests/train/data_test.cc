// The data that a run trains on.
#include <gmock/gmock.h>

#include <filesystem>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "train_run.h"

namespace fathom {
namespace {

using testing::HasSubstr;

std::string documents(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += fmt::format("{{\"text\": \"number {} of a few short documents\"}}\n", i);
  return out;
}

TEST(TrainData, ParquetAndJsonlOfTheSameTableGiveTheSameRun) {
  TrainRun jsonl({"dataset_path=tests/data/data/corpus.jsonl", "enable_data_shuffling=false"});
  TrainRun parquet({"dataset_path=tests/data/data/corpus.parquet", "enable_data_shuffling=false"});
  EXPECT_EQ(jsonl.losses(), parquet.losses());
  EXPECT_EQ(jsonl.losses().size(), 5u);
  EXPECT_NE(jsonl.losses(), TrainRun({"enable_data_shuffling=false"}).losses()) << "corpus.txt has other documents";
}

TEST(TrainData, HfFilesAreTheSameDataByAnotherName) {
  TrainRun named({"dataset_type=hf", "hf_path=parquet", "hf_train_files=tests/data/data/corpus.parquet"});
  TrainRun plain({"dataset_path=tests/data/data/corpus.parquet"});
  EXPECT_EQ(named.losses(), plain.losses());
}

TEST(TrainData, SeedOrdersTheDocuments) {
  std::vector<double> first = TrainRun().losses();
  EXPECT_EQ(first, TrainRun().losses());
  EXPECT_NE(first, TrainRun({"data_shuffle_seed=7"}).losses());
}

TEST(TrainData, EveryStepTakesTheFirstBatchWhenItIsReused) {
  TrainRun usual({"steps=2"}), reused({"steps=3", "reuse_example_batch=1"});
  std::vector<double> losses = reused.losses();
  EXPECT_EQ(losses[0], usual.losses()[0]);
  EXPECT_EQ(losses[0], losses[1]) << "the first rate is 0, so the second step sees the same weights and batch";
  EXPECT_NE(usual.losses()[0], usual.losses()[1]);
  EXPECT_LT(losses[2], losses[1]);
}

TEST(TrainData, EndOfTheDataEndsTheRunAndSaysSo) {
  TemporaryFolder folder;
  std::string path = folder.write("few.jsonl", documents(100));
  TrainRun once({"dataset_path=" + path, "steps=50"}),
      padded({"dataset_path=" + path, "steps=50", "generate_padding_batch_train=true"});
  size_t steps = once.metrics().size();
  EXPECT_GT(steps, 0u);
  EXPECT_LT(steps, 50u);
  EXPECT_THAT(once.outcome().err, HasSubstr("num_epoch"));
  EXPECT_EQ(TrainRun({"dataset_path=" + path, "steps=2", "num_epoch=3"}).metrics().size(), 2u);
  // The rest, which fills no batch, is the one more.
  ASSERT_EQ(padded.metrics().size(), steps + 1);
  EXPECT_LT(padded.values("learning/total_weights").back(), once.values("learning/total_weights").back());
}

TEST(TrainData, EpochsFollowEachOther) {
  TemporaryFolder folder;
  std::string path = folder.write("few.jsonl", documents(100));
  size_t one = TrainRun({"dataset_path=" + path, "steps=50"}).metrics().size();
  size_t three = TrainRun({"dataset_path=" + path, "steps=50", "num_epoch=3"}).metrics().size();
  EXPECT_GE(three, 3 * one);
}

// A row of an array of a safetensors file.
std::vector<int32_t> row_of(const SafetensorsFile& file, std::string_view name, size_t row) {
  const HostArray array = file.tensor(name);
  const auto length = static_cast<size_t>(array.sizes().at(1));
  const std::span<const int32_t> part = array.view<int32_t>().subspan(row * length, length);
  return {part.begin(), part.end()};
}

TEST(TrainData, TheFirstBatchOfTfdsDataIsMaxTexts) {
  TemporaryFolder folder;
  const nlohmann::json expected =
      nlohmann::json::parse(read_file("tests/data/tfds/c4/en/3.1.0/expected_batches.json"))["packed"];
  for (const std::string split : {"train", "validation"}) {
    const std::string file = folder / (split + ".safetensors");
    TrainRun run({"dataset_type=tfds", "dataset_path=tests/data/tfds", "tokenizer_path=tests/data/tokenizer",
                  "defaults=maxtext", "enable_data_shuffling=False", "max_target_length=1024",
                  "per_device_batch_size=2", "train_split=" + split, "--dump_batch=" + file});
    ASSERT_EQ(run.outcome().exit_code, 0) << run.outcome().err;
    EXPECT_FALSE(std::filesystem::exists(run.folder())) << "there is no run";
    const auto batch = SafetensorsFile::open(file);
    EXPECT_EQ(batch->names().size(), 5u);
    for (size_t row = 0; row < 2; ++row) {
      for (const char* name : {"inputs", "targets"}) {
        EXPECT_EQ(nlohmann::json(row_of(*batch, name, row)), expected[split][0][row][name]) << split << name << row;
      }
    }
  }
}

TEST(TrainData, TheFirstBatchAsAFileHasTheRowsOfAllDevicesAndMicroBatches) {
  TemporaryFolder folder;
  const std::string file = folder / "batch";
  TrainRun dumped({"cpu_device_count=2", "gradient_accumulation_steps=2", "--dump_batch=" + file});
  ASSERT_EQ(dumped.outcome().exit_code, 0) << dumped.outcome().err;
  const auto batch = SafetensorsFile::open(file);
  EXPECT_EQ(batch->tensor("inputs").sizes(), (std::vector<int64_t>{16, 160}));
  EXPECT_EQ(TrainRun({"--dump_batch=" + folder.path()}).outcome().exit_code, 2);
}

TEST(TrainData, TokenIdsNeedNoTokenizer) {
  TrainRun run({"model_name=deepseek3-tiny", "load_parameters_path=", "dataset_path=tests/data/tokens/tokens.parquet",
                "tokenize_train_data=False", "packing=False", "max_target_length=16", "per_device_batch_size=2",
                "steps=1", "enable_data_shuffling=False"});
  EXPECT_EQ(run.values("learning/total_weights"), (std::vector<double>{16 + 15})) << run.outcome().err;
}

}  // namespace
}  // namespace fathom
