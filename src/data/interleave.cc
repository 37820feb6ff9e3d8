#include "data/interleave.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace fathom {

namespace {

// tfds.ReadConfig's defaults.
constexpr size_t kOpenBlocks = 16;
constexpr int64_t kTurn = 16;

struct OpenBlock {
  int64_t document;  // its next one
  int64_t left;
};

}  // namespace

InterleavedOrder::InterleavedOrder(const std::vector<DocumentBlock>& blocks, size_t index, size_t stride) {
  std::vector<OpenBlock> waiting;
  int64_t documents = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % stride == index) waiting.push_back({documents, blocks[i].documents});
    documents += blocks[i].documents;
  }
  std::vector<std::optional<OpenBlock>> open(std::min(kOpenBlocks, waiting.size()));
  size_t opened = 0;
  const auto any_left = [&] {
    return opened < waiting.size() || std::ranges::any_of(open, [](const auto& block) { return block.has_value(); });
  };
  while (any_left()) {
    Phase phase{.begin = size_};
    int64_t rounds = std::numeric_limits<int64_t>::max();
    for (std::optional<OpenBlock>& block : open) {
      if (!block && opened < waiting.size()) block = waiting[opened++];
      if (!block) continue;
      rounds = std::min(rounds, block->left / kTurn);
      if (block->left > 0) phase.turns.push_back({block->document, std::min(block->left, kTurn)});
    }
    rounds = std::max<int64_t>(rounds, 1);  // the one in which a block gives less than its turn
    for (const Turn& turn : phase.turns) phase.round += turn.count;
    for (std::optional<OpenBlock>& block : open) {
      if (!block) continue;
      const int64_t given = std::min(block->left, rounds * kTurn);
      // A block is known to have ended when it gives less than its turn.
      const bool ended = given < rounds * kTurn;
      block->document += given;
      block->left -= given;
      if (ended) block.reset();
    }
    size_ += rounds * phase.round;
    if (!phase.turns.empty()) phases_.push_back(std::move(phase));
  }
}

int64_t InterleavedOrder::operator[](int64_t i) const {
  const auto after = std::upper_bound(phases_.begin(), phases_.end(), i,
                                      [](int64_t place, const Phase& p) { return place < p.begin; });
  const Phase& phase = *(after - 1);
  const int64_t round = (i - phase.begin) / phase.round;
  int64_t rest = (i - phase.begin) % phase.round;
  for (const Turn& turn : phase.turns) {
    if (rest < turn.count) return turn.document + round * turn.count + rest;
    rest -= turn.count;
  }
  return -1;
}

}  // namespace fathom
