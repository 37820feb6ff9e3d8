#include "eval/token_rows.h"

#include <gtest/gtest.h>

#include <set>

namespace fathom {
namespace {

// Checks that each row is once in a batch with room for it; gives the number of all places.
int64_t places_of(const std::vector<RowBatch>& batches, const std::vector<int64_t>& lengths, int64_t tokens) {
  std::multiset<size_t> seen;
  int64_t places = 0;
  for (const RowBatch& batch : batches) {
    EXPECT_LE(std::ssize(batch.rows), batch.shape.rows);
    EXPECT_TRUE(batch.shape.rows == 1 || batch.shape.rows * batch.shape.length <= tokens);
    places += batch.shape.rows * batch.shape.length;
    for (const size_t row : batch.rows) {
      EXPECT_LE(lengths[row], batch.shape.length);
      seen.insert(row);
    }
  }
  EXPECT_EQ(seen.size(), lengths.size());
  EXPECT_EQ(std::set<size_t>(seen.begin(), seen.end()).size(), lengths.size());
  return places;
}

size_t shapes_of(const std::vector<RowBatch>& batches) {
  std::set<std::pair<int64_t, int64_t>> shapes;
  for (const RowBatch& batch : batches) shapes.emplace(batch.shape.rows, batch.shape.length);
  return shapes.size();
}

TEST(BatchesByLength, HoldEachRowOnceInFewShapesWithLittleFilling) {
  std::vector<int64_t> lengths;
  int64_t tokens = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    lengths.push_back(40 + (i * i * 7919) % 900 + (i % 97 == 0 ? 1000 : 0));
    tokens += lengths.back();
  }
  const auto batches = batches_by_length(lengths, {}, {.tokens = 16384});
  const int64_t places = places_of(batches, lengths, 16384);
  EXPECT_LE(shapes_of(batches), 8u);
  EXPECT_LT(static_cast<double>(places), 1.25 * static_cast<double>(tokens));
  EXPECT_GE(batches.front().shape.length, batches.back().shape.length);
}

TEST(BatchesByLength, OfRowsOfOneLengthAreOfOneShape) {
  const std::vector<int64_t> lengths(33, 64);
  const auto batches = batches_by_length(lengths, {}, {.tokens = 1024});
  EXPECT_EQ(shapes_of(batches), 1u);
  EXPECT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0].shape.rows, 11);
}

TEST(BatchesByLength, ARowMayBeLongerThanABatch) {
  const std::vector<int64_t> lengths = {5000, 3};
  places_of(batches_by_length(lengths, {}, {.tokens = 1024}), lengths, 1024);
  EXPECT_TRUE(batches_by_length(std::vector<int64_t>{}, {}, {.tokens = 1024}).empty());
  EXPECT_EQ(batches_by_length(lengths, {}, {.tokens = 1024, .shortest = 8192}).front().shape.length, 8192);
}

}  // namespace
}  // namespace fathom
