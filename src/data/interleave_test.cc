#include "data/interleave.h"

#include <gmock/gmock.h>

#include <optional>

namespace fathom {
namespace {

std::vector<int64_t> documents(const InterleavedOrder& order) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < order.size(); ++i) out.push_back(order[i]);
  return out;
}

// tf.data's loop, a document at a time (tensorflow/core/kernels/data/interleave_dataset_op.cc).
std::vector<int64_t> by_hand(const std::vector<DocumentBlock>& blocks) {
  struct Element {
    int64_t next, left;
  };
  std::vector<Element> inputs;
  int64_t first = 0;
  for (const DocumentBlock& block : blocks) {
    inputs.push_back({first, block.documents});
    first += block.documents;
  }
  std::vector<std::optional<Element>> current(16);
  size_t cycle = 0, input = 0, open = 0;
  int64_t in_block = 0;
  std::vector<int64_t> out;
  const auto advance = [&] {
    in_block = 0;
    cycle = (cycle + 1) % current.size();
  };
  while (input < inputs.size() || open > 0) {
    if (current[cycle]) {
      if (current[cycle]->left > 0) {
        out.push_back(current[cycle]->next++);
        --current[cycle]->left;
        if (++in_block == 16) advance();
        continue;
      }
      current[cycle].reset();
      --open;
      advance();
    } else if (input < inputs.size()) {
      current[cycle] = inputs[input++];
      ++open;
    } else {
      advance();
    }
  }
  return out;
}

TEST(InterleavedOrder, IsThatOfTheLoopForBlocksOfAnySizes) {
  const std::vector<std::vector<int64_t>> sizes = {{0},
                                                   {1},
                                                   {16},
                                                   {17},
                                                   {38, 37, 37, 38},
                                                   {16, 32, 5},
                                                   {0, 3, 0, 50},
                                                   std::vector<int64_t>(40, 16),
                                                   std::vector<int64_t>(33, 100)};
  for (size_t seed = 0; seed < 40; ++seed) {
    std::vector<DocumentBlock> blocks;
    if (seed < sizes.size()) {
      for (int64_t size : sizes[seed]) blocks.push_back({.documents = size});
    } else {
      for (size_t i = 0; i < 10 + seed; ++i) blocks.push_back({.documents = static_cast<int64_t>(i * 37 * seed % 90)});
    }
    EXPECT_EQ(documents(InterleavedOrder(blocks, 0, 1)), by_hand(blocks)) << seed;
  }
}

TEST(InterleavedOrder, AProcessHasEveryNthBlock) {
  const std::vector<DocumentBlock> blocks = {{.documents = 2}, {.documents = 3}, {.documents = 4}};
  EXPECT_THAT(documents(InterleavedOrder(blocks, 0, 2)), testing::ElementsAre(0, 1, 5, 6, 7, 8));
  EXPECT_THAT(documents(InterleavedOrder(blocks, 1, 2)), testing::ElementsAre(2, 3, 4));
}

}  // namespace
}  // namespace fathom
