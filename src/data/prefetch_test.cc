#include "data/prefetch.h"

#include <gmock/gmock.h>

#include <atomic>

#include "base/error.h"

namespace fathom {
namespace {

// Counts its batches; ends after `limit`, or throws then.
class CountingStream final : public BatchStream {
 public:
  CountingStream(int64_t limit, bool throws, std::atomic<int>* made = nullptr)
      : limit_(limit), throws_(throws), made_(made) {}
  std::optional<Batch> next() override {
    if (state_.batches == limit_) {
      if (throws_) throw FormatError("file", "broken");
      return std::nullopt;
    }
    if (made_ != nullptr) ++*made_;
    Batch batch = Batch::allocate(1, 1);
    batch.inputs.mutable_view<int32_t>()[0] = static_cast<int32_t>(state_.batches++);
    return batch;
  }
  DataState state() const override { return state_; }
  void restore(const DataState& state) override { state_ = state; }
  std::string end_message() const override { return "the end"; }

 private:
  int64_t limit_;
  bool throws_;
  std::atomic<int>* made_;
  DataState state_;
};

TEST(Prefetcher, GivesEveryBatchInOrderWithTheStateAfterIt) {
  Prefetcher stream(std::make_unique<CountingStream>(5, false));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(stream.state().batches, i);
    EXPECT_EQ(stream.next()->inputs.view<int32_t>()[0], i);
  }
  EXPECT_FALSE(stream.next());
  EXPECT_FALSE(stream.next());
  EXPECT_EQ(stream.state().batches, 5);
  EXPECT_EQ(stream.end_message(), "the end");
}

TEST(Prefetcher, AnErrorReachesTheConsumerAfterTheGoodBatches) {
  Prefetcher stream(std::make_unique<CountingStream>(2, true));
  EXPECT_TRUE(stream.next());
  EXPECT_TRUE(stream.next());
  EXPECT_THROW(stream.next(), FormatError);
  EXPECT_THROW(stream.next(), FormatError);
}

TEST(Prefetcher, ReadsNoFurtherAheadThanItsDepth) {
  std::atomic<int> made = 0;
  {
    Prefetcher stream(std::make_unique<CountingStream>(1000, false, &made), 3);
    stream.next();
    while (made < 4) std::this_thread::yield();  // one is taken, three wait
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(made, 4);
}

TEST(Prefetcher, RestoreForgetsWhatWasReadAhead) {
  Prefetcher stream(std::make_unique<CountingStream>(1000, false));
  stream.next();
  stream.restore({.batches = 7});
  EXPECT_EQ(stream.state().batches, 7);
  EXPECT_EQ(stream.next()->inputs.view<int32_t>()[0], 7);
}

TEST(Prefetcher, RestoreGoesOnAfterTheEnd) {
  Prefetcher stream(std::make_unique<CountingStream>(1, false));
  EXPECT_TRUE(stream.next());
  EXPECT_FALSE(stream.next());
  stream.restore({});
  EXPECT_TRUE(stream.next());
}

}  // namespace
}  // namespace fathom
