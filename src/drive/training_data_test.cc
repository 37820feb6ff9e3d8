#include "drive/training_data.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::Not;

// Batches whose rows count from 1.
class CountedStream final : public BatchStream {
 public:
  explicit CountedStream(int64_t count) : count_(count) {}
  std::optional<Batch> next() override {
    if (given_ == count_) return std::nullopt;
    Batch batch;
    batch.rows = ++given_;
    return batch;
  }
  DataState state() const override { return {}; }
  void restore(const DataState&) override {}
  std::string end_message() const override { return "all given"; }

 private:
  int64_t count_;
  int64_t given_ = 0;
};

TEST(BatchFeed, GivesEveryBatchOnceInOrder) {
  for (size_t ahead : {0, 2, 9}) {
    CountedStream stream(5);
    BatchFeed feed(stream, false, ahead);
    for (int64_t i = 1; i <= 5; ++i) {
      std::optional<Batch> batch = feed.next();
      ASSERT_TRUE(batch);
      EXPECT_EQ(batch->rows, i) << ahead;
    }
    EXPECT_FALSE(feed.next());
    EXPECT_FALSE(feed.next());
  }
}

// The wish given into step 4 of 5 is followed after step 5.
TEST(BatchFeed, SaysThatTheEndIsNearWhileOneBatchIsLeft) {
  CountedStream stream(5);
  BatchFeed feed(stream, false, 2);
  for (int64_t i = 1; i <= 5; ++i) {
    feed.next();
    EXPECT_EQ(feed.near_end(), i >= 4) << i;
  }
}

TEST(BatchFeed, AProcessAloneLooksNoFurtherThanItMust) {
  CountedStream stream(2);
  BatchFeed feed(stream, false, 0);
  for (int i = 0; i < 3; ++i) {
    feed.next();
    EXPECT_FALSE(feed.near_end());
  }
}

TEST(BatchFeed, GivesTheFirstBatchAgainAndAgainWhereItIsReused) {
  CountedStream stream(1);
  BatchFeed feed(stream, true, 2);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(feed.next()->rows, 1);
  EXPECT_FALSE(feed.near_end());
}

// One row a batch of the data of a folder with this tokenizer_config.json and the small tokenizer.
class TokensOfAFolder : public testing::Test {
 protected:
  TokensOfAFolder() {
    folder_.write("tokenizer.json", read_file("tests/data/tokenizer/tokenizer.json"));
    config_.dataset_type = DatasetType::kFiles;
    config_.dataset_path = folder_.write("a.txt", "hello world");
    config_.tokenizer_path = folder_.path();
    config_.train_data_columns = {"text"};
    config_.max_target_length = 32;
    config_.vocab_size = 2048;
  }

  // Targets of the first batch, and what is said.
  int64_t weights(std::string& said) {
    testing::internal::CaptureStderr();
    TrainingData data = open_training_data(config_, {.rows = 1, .count = 1}, {});
    const int64_t weights = data.train->next()->weights();
    said = testing::internal::GetCapturedStderr();
    return weights;
  }

  TemporaryFolder folder_;
  Config config_;
};

TEST_F(TokensOfAFolder, ATokenAskedForAndNotThereIsSaid) {
  std::string said;
  EXPECT_EQ(weights(said), 5);  // six tokens of text
  EXPECT_THAT(said, HasSubstr("add_bos=True, but the tokenizer names no begin-of-sentence (bos_token in"));
  EXPECT_THAT(said, HasSubstr("add_eos=True, but the tokenizer names no end-of-sentence (eos_token in"));
  config_.add_bos = config_.add_eos = false;
  weights(said);
  EXPECT_THAT(said, Not(HasSubstr("names no")));
}

TEST_F(TokensOfAFolder, TheSpecialTokensMapCountsAndTheEndIsTrainedThoughItIsThePadding) {
  folder_.write("special_tokens_map.json",
                R"({"bos_token": "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
                    "eos_token": "<\uff5cend\u2581of\u2581sentence\uff5c>",
                    "pad_token": "<\uff5cend\u2581of\u2581sentence\uff5c>"})");
  std::string said;
  EXPECT_EQ(weights(said), 7);
  EXPECT_THAT(said, Not(HasSubstr("names no")));
  config_.defaults = DefaultsKind::kMaxtext;
  EXPECT_EQ(weights(said), 6);
  config_.defaults = DefaultsKind::kFathom;
  config_.add_eos = false;
  EXPECT_EQ(weights(said), 6);
}

}  // namespace
}  // namespace fathom
