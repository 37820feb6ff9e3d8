// The order in which a process sees the documents of a data set: shuffled by a seed, shared among the processes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/documents.h"
#include "data/interleave.h"

namespace fathom {

// A permutation of [0, size) that is computed, not stored: a Feistel network over the next power of four, walked until
// it lands inside. Any element costs the same, so a run resumes anywhere at once.
class Permutation {
 public:
  Permutation(int64_t size, uint64_t key);
  int64_t operator()(int64_t i) const;

 private:
  uint64_t encrypt(uint64_t x) const;
  uint64_t size_;
  uint64_t key_;
  int half_bits_ = 1;
};

struct OrderOptions {
  bool shuffle = true;
  uint64_t seed = 0;
  int process_index = 0;
  int process_count = 1;
  // Documents are shuffled over the whole data set when it is no larger than this, otherwise the blocks are shuffled
  // and then the documents within runs of blocks, or parts of a block, of about this many bytes, so that a run can be
  // held in memory.
  int64_t window_bytes = int64_t{256} << 20;
  // Without shuffle: as the peer reads TFDS data. A process has every process_count-th block or, where there are more
  // processes than blocks, document.
  bool interleave = false;
};

// The documents of one process in one epoch. Over all processes every document comes exactly once. Two sources with the
// same documents but other blocks have the same order as long as they fit into a window.
class EpochOrder {
 public:
  // `epoch` counts from 0 and is added to the seed.
  EpochOrder(const std::vector<DocumentBlock>& blocks, const OrderOptions& options, int64_t epoch);
  int64_t size() const { return size_; }
  // Number of the document that comes i-th.
  int64_t operator[](int64_t i) const;

 private:
  struct Block {
    int64_t document;  // number of its first document
    int64_t begin;     // place of its first document in this order, before the shuffle within the window
  };
  // Parts a block that is larger than a window.
  void add_windows(int64_t documents, int64_t parts);
  struct Window {
    int64_t begin;
    int64_t documents;
  };

  std::vector<Block> blocks_;
  std::vector<Window> windows_;
  bool shuffle_;
  uint64_t key_;
  int64_t size_ = 0;
  // Place i of this process is place i x stride + offset of the order over `blocks_`.
  int64_t stride_ = 1;
  int64_t offset_ = 0;
  std::optional<InterleavedOrder> interleaved_;  // gives the places' documents then
};

}  // namespace fathom
