// The ids of the short words met last.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace fathom {

// A table with one place for each hash, where a new word drives out the old: its size is fixed (2 MB). Not thread-safe.
class WordCache {
 public:
  // One word; 64 bytes, a cache line.
  class alignas(64) Slot {
   public:
    bool holds(const std::array<uint64_t, 2>& key, size_t length) const { return length_ == length && key_ == key; }
    std::span<const int32_t> ids() const { return std::span(ids_).first(count_); }

   private:
    friend class WordCache;
    std::array<uint64_t, 2> key_{};
    uint8_t length_ = 0;  // of the word in bytes; 0: free
    uint8_t count_ = 0;
    std::array<int32_t, 11> ids_{};
  };

  WordCache() : slots_(kSlots) {}

  // Appends the ids of the word: from the cache, or else from encode(word, out).
  template <class Encode>
  void encode(std::string_view word, std::vector<int32_t>& out, Encode&& encode) {
    if (word.size() > sizeof(std::array<uint64_t, 2>)) return encode(word, out);
    std::array<uint64_t, 2> key{};
    std::memcpy(key.data(), word.data(), word.size());
    Slot& slot = slots_[hash(key, word.size())];
    if (slot.holds(key, word.size())) {
      const auto ids = slot.ids();
      out.insert(out.end(), ids.begin(), ids.end());
      return;
    }
    const size_t before = out.size();
    encode(word, out);
    const auto ids = std::span(out).subspan(before);
    if (ids.size() > slot.ids_.size()) return;
    slot.key_ = key;
    slot.length_ = static_cast<uint8_t>(word.size());
    slot.count_ = static_cast<uint8_t>(ids.size());
    std::copy(ids.begin(), ids.end(), slot.ids_.begin());
  }

 private:
  static constexpr int kLogSlots = 15;
  static constexpr size_t kSlots = size_t{1} << kLogSlots;

  static size_t hash(const std::array<uint64_t, 2>& key, size_t length) {
    uint64_t h = (key[0] ^ length) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 32 ^ key[1]) * 0xd6e8feb86659fd93u;
    return h >> (64 - kLogSlots);
  }

  std::vector<Slot> slots_;
};

}  // namespace fathom
