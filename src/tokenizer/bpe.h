// Byte-pair encoding of words.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace fathom {

// `left` followed by `right` becomes `result`.
struct BpeMerge {
  int32_t left;
  int32_t right;
  int32_t result;
};

// Joins the pair of neighbours that comes first in the list of merges, the leftmost of equal ones, until none is left.
class Bpe {
 public:
  // `byte_ids`: the token of each byte, -1 for bytes that do not occur in UTF-8. Of a pair that `merges` names twice
  // the last entry holds.
  Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges);

  // Appends the ids of a word of bytes that all have tokens. Thread-safe.
  void encode(std::string_view word, std::vector<int32_t>& out) const;

 private:
  struct Entry {
    uint64_t pair = UINT64_MAX;  // left << 32 | right
    uint32_t rank = UINT32_MAX;
    int32_t result = -1;
  };
  const Entry* find(int32_t left, int32_t right) const;
  void encode_short(std::string_view word, std::vector<int32_t>& out) const;
  void encode_long(std::string_view word, std::vector<int32_t>& out) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<Entry> entries_;  // hash table, a power of two, at most half full
  int shift_ = 63;              // 64 - log2(entries)
};

}  // namespace fathom
