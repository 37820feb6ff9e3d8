#include "drive/training_data.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

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

}  // namespace
}  // namespace fathom
