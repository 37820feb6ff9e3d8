// Many strings in one block of memory, and the way from a string to its id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Strings in the order they were added.
class StringPool {
 public:
  size_t add(std::string_view text) {
    bytes_ += text;
    ends_.push_back(bytes_.size());
    return ends_.size() - 1;
  }
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
};

// Distinct strings with an id each; an open-addressing hash table. Reading is thread-safe.
class TokenTable {
 public:
  // False when the string is there already, with whatever id.
  bool insert(std::string_view token, int32_t id);
  // The string has this id from now on.
  void assign(std::string_view token, int32_t id);
  std::optional<int32_t> find(std::string_view token) const;
  size_t size() const { return ids_.size(); }
  // Entries in the order of insertion.
  std::string_view token(size_t entry) const { return tokens_[entry]; }
  int32_t id(size_t entry) const { return ids_[entry]; }

 private:
  struct Slot {
    uint32_t hash = 0;
    uint32_t entry = UINT32_MAX;  // none
  };
  size_t slot_of(std::string_view token, uint32_t hash) const;
  void grow();

  StringPool tokens_;
  std::vector<int32_t> ids_;
  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace fathom
