#include "tokenizer/token_table.h"

#include <functional>

namespace fathom {

namespace {

uint32_t hash_of(std::string_view token) { return static_cast<uint32_t>(std::hash<std::string_view>{}(token)); }

}  // namespace

// The slot that holds the token, or the free one where it belongs.
size_t TokenTable::slot_of(std::string_view token, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.entry == UINT32_MAX || (slot.hash == hash && tokens_[slot.entry] == token)) return i;
  }
}

void TokenTable::grow() {
  std::vector<Slot> old(slots_.empty() ? 1024 : slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.entry == UINT32_MAX) continue;
    size_t i = slot.hash & mask;
    while (slots_[i].entry != UINT32_MAX) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

bool TokenTable::insert(std::string_view token, int32_t id) {
  if (ids_.size() * 2 >= slots_.size()) grow();
  const uint32_t hash = hash_of(token);
  Slot& slot = slots_[slot_of(token, hash)];
  if (slot.entry != UINT32_MAX) return false;
  slot = {hash, static_cast<uint32_t>(tokens_.add(token))};
  ids_.push_back(id);
  return true;
}

void TokenTable::assign(std::string_view token, int32_t id) {
  if (insert(token, id)) return;
  ids_[slots_[slot_of(token, hash_of(token))].entry] = id;
}

std::optional<int32_t> TokenTable::find(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const Slot& slot = slots_[slot_of(token, hash_of(token))];
  if (slot.entry == UINT32_MAX) return std::nullopt;
  return ids_[slot.entry];
}

}  // namespace fathom
