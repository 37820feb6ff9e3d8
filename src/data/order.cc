#include "data/order.h"

#include <algorithm>
#include <bit>

#include "base/counter_random.h"

namespace fathom {

namespace {

constexpr int kRounds = 6;
// Keys of the two shuffles, so that they differ under one seed.
constexpr uint64_t kBlockStream = 1;
constexpr uint64_t kDocumentStream = 2;
// With fewer blocks a process, sharing whole blocks would leave the shares too unequal.
constexpr size_t kBlocksPerProcess = 8;

int64_t parts_of(int64_t bytes, int64_t most) { return bytes / most + (bytes % most == 0 ? 0 : 1); }

}  // namespace

Permutation::Permutation(int64_t size, uint64_t key) : size_(static_cast<uint64_t>(size)), key_(key) {
  int bits = size > 1 ? std::bit_width(size_ - 1) : 1;
  half_bits_ = (bits + 1) / 2;
}

uint64_t Permutation::encrypt(uint64_t x) const {
  uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = x >> half_bits_;
  uint64_t right = x & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    uint64_t next = left ^ (random_bits(key_, right * kRounds + round) & mask);
    left = right;
    right = next;
  }
  return (left << half_bits_) | right;
}

int64_t Permutation::operator()(int64_t i) const {
  uint64_t x = static_cast<uint64_t>(i);
  do {
    x = encrypt(x);
  } while (x >= size_);
  return static_cast<int64_t>(x);
}

void EpochOrder::add_windows(int64_t documents, int64_t parts) {
  int64_t begin = windows_.empty() ? 0 : windows_.back().begin + windows_.back().documents;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t share = documents * (part + 1) / parts - documents * part / parts;
    windows_.push_back({begin, share});
    begin += share;
  }
}

EpochOrder::EpochOrder(const std::vector<DocumentBlock>& blocks, const OrderOptions& options, int64_t epoch)
    : shuffle_(options.shuffle), key_(mix_bits(options.seed + static_cast<uint64_t>(epoch))) {
  int64_t bytes = 0;
  std::vector<int64_t> first;
  int64_t documents = 0;
  for (const DocumentBlock& block : blocks) {
    bytes += block.bytes;
    first.push_back(documents);
    documents += block.documents;
  }
  bool one_window = bytes <= options.window_bytes;
  size_t process_count = static_cast<size_t>(options.process_count);
  if (options.interleave && !shuffle_) {
    const bool blocks_go_round = blocks.size() >= process_count;
    if (!blocks_go_round) {
      stride_ = options.process_count;
      offset_ = options.process_index;
    }
    interleaved_.emplace(blocks, blocks_go_round ? static_cast<size_t>(options.process_index) : 0,
                         blocks_go_round ? process_count : 1);
    size_ = (interleaved_->size() - offset_ + stride_ - 1) / stride_;
    return;
  }
  bool share_blocks = !one_window && blocks.size() >= process_count * kBlocksPerProcess;
  Permutation block_order(static_cast<int64_t>(blocks.size()), random_bits(key_, kBlockStream));
  int64_t begin = 0;
  int64_t filled = 0;  // bytes of the last window
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (share_blocks && i % process_count != static_cast<size_t>(options.process_index)) continue;
    size_t block = shuffle_ && !one_window ? static_cast<size_t>(block_order(static_cast<int64_t>(i))) : i;
    const int64_t parts = one_window ? 1 : std::max<int64_t>(1, parts_of(blocks[block].bytes, options.window_bytes));
    if (windows_.empty() || (!one_window && filled + blocks[block].bytes > options.window_bytes)) {
      add_windows(blocks[block].documents, parts);
      filled = 0;
    } else {
      windows_.back().documents += blocks[block].documents;
    }
    filled += blocks[block].bytes;
    blocks_.push_back({first[block], begin});
    begin += blocks[block].documents;
  }
  if (!share_blocks) {
    stride_ = options.process_count;
    offset_ = options.process_index;
  }
  size_ = (begin - offset_ + stride_ - 1) / stride_;
}

int64_t EpochOrder::operator[](int64_t i) const {
  int64_t place = i * stride_ + offset_;
  if (interleaved_) return (*interleaved_)[place];
  if (shuffle_) {
    auto after = std::upper_bound(windows_.begin(), windows_.end(), place,
                                  [](int64_t p, const Window& w) { return p < w.begin; });
    const Window& window = *(after - 1);
    uint64_t stream = kDocumentStream + static_cast<uint64_t>(after - windows_.begin());
    Permutation permutation(window.documents, random_bits(key_, stream));
    place = window.begin + permutation(place - window.begin);
  }
  auto after =
      std::upper_bound(blocks_.begin(), blocks_.end(), place, [](int64_t p, const Block& b) { return p < b.begin; });
  const Block& block = *(after - 1);
  return block.document + (place - block.begin);
}

}  // namespace fathom
