#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <tuple>

namespace fathom {

namespace {

// Up to this length in bytes searching all pairs for each merge is faster than a heap.
constexpr size_t kShortWord = 64;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// Fibonacci hashing; the high bits index the table.
uint64_t scatter(uint64_t key) { return (key ^ key >> 29) * 0x9e3779b97f4a7c15u; }

}  // namespace

Bpe::Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges) : byte_ids_(byte_ids) {
  entries_.resize(std::bit_ceil(merges.size() * 2 + 2));
  shift_ = 64 - std::countr_zero(entries_.size());
  const size_t mask = entries_.size() - 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t key = pair_key(merges[rank].left, merges[rank].right);
    size_t i = scatter(key) >> shift_;
    while (entries_[i].pair != UINT64_MAX && entries_[i].pair != key) i = (i + 1) & mask;
    entries_[i] = {key, static_cast<uint32_t>(rank), merges[rank].result};
  }
}

// The merge of a pair, or null.
const Bpe::Entry* Bpe::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  const size_t mask = entries_.size() - 1;
  for (size_t i = scatter(key) >> shift_;; i = (i + 1) & mask) {
    if (entries_[i].pair == key) return &entries_[i];
    if (entries_[i].pair == UINT64_MAX) return nullptr;
  }
}

void Bpe::encode(std::string_view word, std::vector<int32_t>& out) const {
  if (word.size() <= kShortWord) {
    encode_short(word, out);
  } else {
    encode_long(word, out);
  }
}

void Bpe::encode_short(std::string_view word, std::vector<int32_t>& out) const {
  std::array<int32_t, kShortWord> ids;
  std::array<const Entry*, kShortWord> merges;  // of ids[i] and ids[i + 1]
  size_t size = word.size();
  for (size_t i = 0; i < size; ++i) ids[i] = byte_ids_[static_cast<unsigned char>(word[i])];
  for (size_t i = 0; i + 1 < size; ++i) merges[i] = find(ids[i], ids[i + 1]);
  while (size > 1) {
    size_t best = size;
    for (size_t i = 0; i + 1 < size; ++i) {
      if (merges[i] != nullptr && (best == size || merges[i]->rank < merges[best]->rank)) best = i;
    }
    if (best == size) break;
    ids[best] = merges[best]->result;
    std::copy(ids.begin() + best + 2, ids.begin() + size, ids.begin() + best + 1);
    if (best + 2 < size) std::copy(merges.begin() + best + 2, merges.begin() + size - 1, merges.begin() + best + 1);
    --size;
    if (best > 0) merges[best - 1] = find(ids[best - 1], ids[best]);
    if (best + 1 < size) merges[best] = find(ids[best], ids[best + 1]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + size);
}

void Bpe::encode_long(std::string_view word, std::vector<int32_t>& out) const {
  // A linked list of symbols; one that was joined to its left neighbour has id -1.
  struct Symbol {
    int32_t id;
    uint32_t previous;
    uint32_t next;
  };
  const auto count = static_cast<uint32_t>(word.size());
  std::vector<Symbol> symbols(count);
  for (uint32_t i = 0; i < count; ++i) {
    symbols[i] = {byte_ids_[static_cast<unsigned char>(word[i])], i - 1, i + 1};
  }
  // Smallest rank first, then leftmost. An entry whose symbols have changed since is skipped: its pair is another now.
  using Candidate = std::tuple<uint32_t, uint32_t, const Entry*>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  auto offer = [&](uint32_t left) {
    const uint32_t right = symbols[left].next;
    if (right >= count) return;
    if (const Entry* merge = find(symbols[left].id, symbols[right].id)) queue.emplace(merge->rank, left, merge);
  };
  for (uint32_t i = 0; i < count; ++i) offer(i);
  while (!queue.empty()) {
    const auto [rank, left, merge] = queue.top();
    queue.pop();
    const uint32_t right = symbols[left].next;
    if (symbols[left].id < 0 || right >= count || pair_key(symbols[left].id, symbols[right].id) != merge->pair)
      continue;
    symbols[left].id = merge->result;
    symbols[left].next = symbols[right].next;
    if (symbols[right].next < count) symbols[symbols[right].next].previous = left;
    symbols[right].id = -1;
    if (left > 0) offer(symbols[left].previous);
    offer(left);
  }
  for (uint32_t i = 0; i < count; i = symbols[i].next) out.push_back(symbols[i].id);
}

}  // namespace fathom
