// The data that a run trains on.
#include <gmock/gmock.h>

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

}  // namespace
}  // namespace fathom
