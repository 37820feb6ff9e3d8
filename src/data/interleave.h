// The order of tf.data's interleave, in which the peer reads a TFDS data set that it does not shuffle.
#pragma once

#include <cstdint>
#include <vector>

#include "data/documents.h"

namespace fathom {

// 16 blocks are open; each in turn gives 16 documents. A block that has ended gives its turn away, and at its next one
// the first block that was not open yet stands in its place. Any place costs the same: rounds in which every open block
// gives 16 are counted, not stored.
class InterleavedOrder {
 public:
  // The blocks index, index + stride, index + 2 stride, ...
  InterleavedOrder(const std::vector<DocumentBlock>& blocks, size_t index, size_t stride);
  int64_t size() const { return size_; }
  // Number of the document that comes i-th.
  int64_t operator[](int64_t i) const;

 private:
  // What an open block gives in one turn.
  struct Turn {
    int64_t document;  // number of the first one, in the first round
    int64_t count;
  };
  // Rounds that differ only in that the documents are `count` further in each.
  struct Phase {
    int64_t begin = 0;  // place of its first document
    int64_t round = 0;  // documents in a round
    std::vector<Turn> turns;
  };

  std::vector<Phase> phases_;
  int64_t size_ = 0;
};

}  // namespace fathom
