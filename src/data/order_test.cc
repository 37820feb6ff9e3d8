#include "data/order.h"

#include <gmock/gmock.h>

#include <numeric>

namespace fathom {
namespace {

using testing::ElementsAre;

std::vector<int64_t> documents(const EpochOrder& order) {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < order.size(); ++i) result.push_back(order[i]);
  return result;
}

std::vector<int64_t> first_numbers(int64_t n) {
  std::vector<int64_t> result(static_cast<size_t>(n));
  std::iota(result.begin(), result.end(), 0);
  return result;
}

TEST(Permutation, EverySizeIsPermuted) {
  for (int64_t size : {1, 2, 3, 4, 5, 15, 16, 17, 64, 1000}) {
    Permutation permutation(size, 7);
    std::vector<int64_t> values;
    for (int64_t i = 0; i < size; ++i) values.push_back(permutation(i));
    EXPECT_THAT(values, testing::UnorderedElementsAreArray(first_numbers(size)));
  }
}

TEST(Permutation, PlacesAreSpreadEvenlyOverSeeds) {
  // Where element 0 of 10 goes over 10000 keys: 1000 times each, standard deviation 30.
  std::vector<int> counts(10);
  for (uint64_t key = 0; key < 10000; ++key) ++counts[static_cast<size_t>(Permutation(10, key)(0))];
  for (int count : counts) EXPECT_NEAR(count, 1000, 5 * 30);
}

TEST(EpochOrder, WithoutShufflingDocumentsKeepTheirOrder) {
  EXPECT_THAT(documents(EpochOrder({{2, 10}, {3, 10}}, {.shuffle = false}, 0)), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(documents(EpochOrder({{2, 10}, {3, 10}}, {.shuffle = false, .window_bytes = 5}, 0)),
              ElementsAre(0, 1, 2, 3, 4));
}

TEST(EpochOrder, SeedAndEpochChangeTheOrder) {
  std::vector<DocumentBlock> blocks = {{100, 1000}};
  std::vector<int64_t> order = documents(EpochOrder(blocks, {.seed = 1}, 0));
  EXPECT_EQ(order, documents(EpochOrder(blocks, {.seed = 1}, 0)));
  EXPECT_NE(order, documents(EpochOrder(blocks, {.seed = 2}, 1)));
  EXPECT_NE(order, documents(EpochOrder(blocks, {.seed = 1}, 1)));
  for (int bit : {32, 63}) {
    EXPECT_NE(order, documents(EpochOrder(blocks, {.seed = uint64_t{1} + (uint64_t{1} << bit)}, 0))) << bit;
  }
  // As in the peer, epoch i of seed s is epoch 0 of seed s + i.
  EXPECT_EQ(order, documents(EpochOrder(blocks, {.seed = 0}, 1)));
  EXPECT_THAT(order, testing::UnorderedElementsAreArray(first_numbers(100)));
}

TEST(EpochOrder, BlocksDoNotMatterWhenTheyFitIntoAWindow) {
  EXPECT_EQ(documents(EpochOrder({{100, 1000}}, {.seed = 1}, 0)),
            documents(EpochOrder({{30, 300}, {1, 10}, {69, 690}}, {.seed = 1}, 0)));
}

TEST(EpochOrder, WindowsHoldWholeBlocks) {
  std::vector<DocumentBlock> blocks(20, {10, 100});
  std::vector<int64_t> order = documents(EpochOrder(blocks, {.seed = 3, .window_bytes = 250}, 0));
  EXPECT_THAT(order, testing::UnorderedElementsAreArray(first_numbers(200)));
  for (size_t window = 0; window < 10; ++window) {  // two blocks a window
    std::vector<int64_t> used;
    for (size_t i = 0; i < 20; ++i) used.push_back(order[window * 20 + i] / 10);
    std::sort(used.begin(), used.end());
    used.erase(std::unique(used.begin(), used.end()), used.end());
    EXPECT_EQ(used.size(), 2u);
  }
}

TEST(EpochOrder, ABlockLargerThanAWindowIsShuffledInParts) {
  const std::vector<DocumentBlock> blocks = {{90, 900}, {10, 100}, {200, 2000}};
  const std::vector<int64_t> order = documents(EpochOrder(blocks, {.seed = 3, .window_bytes = 400}, 0));
  EXPECT_THAT(order, testing::UnorderedElementsAreArray(first_numbers(300)));
  // The 200 documents come in one piece, 40 of them at a time.
  const auto first = std::find_if(order.begin(), order.end(), [](int64_t document) { return document >= 100; });
  for (int64_t part = 0; part < 5; ++part) {
    for (int64_t i = 0; i < 40; ++i) EXPECT_EQ((first[part * 40 + i] - 100) / 40, part);
  }
}

TEST(EpochOrder, InterleavingGoesRoundTheBlocksAndStillGivesEveryDocumentOnce) {
  const std::vector<DocumentBlock> blocks = {{20, 0}, {30, 0}, {17, 0}};
  const std::vector<int64_t> one = documents(EpochOrder(blocks, {.shuffle = false, .interleave = true}, 0));
  EXPECT_EQ(one[16], 20);
  EXPECT_EQ(documents(EpochOrder(blocks, {.seed = 1}, 0)),
            documents(EpochOrder(blocks, {.seed = 1, .interleave = true}, 0)));
  for (int processes : {2, 3, 7}) {
    std::vector<int64_t> all;
    for (int process = 0; process < processes; ++process) {
      OrderOptions options{.shuffle = false, .process_index = process, .process_count = processes, .interleave = true};
      for (int64_t document : documents(EpochOrder(blocks, options, 0))) all.push_back(document);
    }
    EXPECT_THAT(all, testing::UnorderedElementsAreArray(first_numbers(67))) << processes;
  }
}

TEST(EpochOrder, ProcessesShareTheDocumentsWithoutOverlap) {
  for (int64_t window_bytes : {int64_t{1} << 20, int64_t{250}}) {
    for (size_t block_count : {3u, 40u}) {
      for (bool shuffle : {false, true}) {
        std::vector<DocumentBlock> blocks(block_count, {7, 100});
        std::vector<int64_t> all;
        for (int process = 0; process < 3; ++process) {
          EpochOrder order(
              blocks, {.shuffle = shuffle, .process_index = process, .process_count = 3, .window_bytes = window_bytes},
              0);
          for (int64_t document : documents(order)) all.push_back(document);
        }
        EXPECT_THAT(all, testing::UnorderedElementsAreArray(first_numbers(static_cast<int64_t>(block_count) * 7)));
      }
    }
  }
}

}  // namespace
}  // namespace fathom
