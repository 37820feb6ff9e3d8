#include <gmock/gmock.h>

#include "data/streams.h"

namespace fathom {
namespace {

DataOptions options(int64_t rows) { return {.synthetic = true, .rows = rows, .length = 1000, .vocab_size = 50}; }

std::vector<int32_t> inputs(const DataOptions& options) {
  Batch batch = *open_batches(options, {})->next();
  std::span<const int32_t> view = batch.inputs.view<int32_t>();
  return {view.begin(), view.end()};
}

TEST(Synthetic, TokensAreUniformAndTargetsAreTheNextInputs) {
  Batch batch = *open_batches(options(20), {})->next();
  std::span<const int32_t> ids = batch.inputs.view<int32_t>();
  std::vector<int> counts(50);
  for (size_t i = 0; i < ids.size(); ++i) {
    ASSERT_GE(ids[i], 0);
    ASSERT_LT(ids[i], 50);
    ++counts[static_cast<size_t>(ids[i])];
    if (i % 1000 != 999) {
      EXPECT_EQ(batch.targets.view<int32_t>()[i], ids[i + 1]);
    }
    EXPECT_EQ(batch.inputs_position.view<int32_t>()[i], static_cast<int32_t>(i % 1000));
    EXPECT_EQ(batch.inputs_segmentation.view<int32_t>()[i], 1);
  }
  // 20000 draws of 50 values: 400 each; chi-square with 49 degrees of freedom is below 95 but for once in 10000.
  double chi_square = 0;
  for (int count : counts) chi_square += (count - 400.0) * (count - 400.0) / 400.0;
  EXPECT_LT(chi_square, 95);
  EXPECT_EQ(batch.weights(), 20000);
}

TEST(Synthetic, OneBatchIsRepeatedAndTheSeedDecidesIt) {
  std::unique_ptr<BatchStream> stream = open_batches(options(2), {});
  Batch first = *stream->next();
  Batch second = *stream->next();
  EXPECT_EQ(first.inputs.data(), second.inputs.data());
  EXPECT_EQ(stream->state().batches, 2);
  DataOptions other = options(2);
  EXPECT_EQ(inputs(other), inputs(other));
  for (uint64_t seed : {uint64_t{1}, uint64_t{1} << 32, uint64_t{1} << 63}) {
    other.seed = seed;
    EXPECT_NE(inputs(other), inputs(options(2))) << seed;
  }
}

TEST(Synthetic, TwoProcessesHaveTheRowsOfOne) {
  std::vector<int32_t> whole = inputs(options(4));
  std::vector<int32_t> parts;
  for (int process = 0; process < 2; ++process) {
    DataOptions half = options(2);
    half.process_index = process;
    half.process_count = 2;
    std::vector<int32_t> part = inputs(half);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(parts, whole);
}

}  // namespace
}  // namespace fathom
