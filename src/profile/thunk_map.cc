#include "profile/thunk_map.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace fathom {
namespace {

constexpr uint64_t kLongestName = 512;
// Where the name may start in a thunk.
constexpr size_t kLastNameWord = 4;
// Words of a std::string in libstdc++: {char* data, size_t size, 16 bytes of its own}.
constexpr size_t kStringWords = 4;
constexpr uint64_t kSmallestBlock = 32;
constexpr uint64_t kLargestThunk = 16384;

const uint64_t* words_at(uint64_t address) { return reinterpret_cast<const uint64_t*>(address); }

}  // namespace

ThunkMap::ThunkMap(std::string_view plugin, std::string module, const std::vector<std::string>& instructions)
    : regions_(memory_map()), module_(std::move(module)) {
  for (size_t i = 0; i < instructions.size(); ++i) index_[instructions[i]] = static_cast<int>(i);
  for (const MemoryRegion& region : regions_) {
    if (region.path != plugin) continue;
    if (plugin_begin_ == 0) plugin_begin_ = region.begin;
    plugin_end_ = region.end;
  }
  for (const MemoryRegion& region : regions_) {
    if (region.anonymous() && region.readable && region.writable) find_thunks(region);
  }
  for (const auto& [address, instruction] : thunks_) find_code(address, instruction);
  index_.clear();  // its keys belong to the caller
}

bool ThunkMap::readable(uint64_t address, uint64_t bytes) const {
  const MemoryRegion* region = region_of(regions_, address);
  return region != nullptr && region->readable && address + bytes <= region->end;
}

std::string_view ThunkMap::string_at(const uint64_t* words, const uint64_t* end) const {
  if (words + kStringWords > end) return {};
  uint64_t data = words[0], size = words[1];
  if (size == 0 || size > kLongestName) return {};
  if (data != reinterpret_cast<uint64_t>(words + 2) && !readable(data, size)) return {};
  return {reinterpret_cast<const char*>(data), size};
}

int ThunkMap::instruction_of_object(const uint64_t* words, const uint64_t* end) const {
  for (size_t i = 1; i <= kLastNameWord; ++i) {
    auto found = index_.find(string_at(words + i, end));
    if (found != index_.end() && string_at(words + i + kStringWords, end) == module_) return found->second;
  }
  return kNoThunk;
}

void ThunkMap::find_thunks(const MemoryRegion& region) {
  const uint64_t* end = words_at(region.end);
  for (const uint64_t* word = words_at(region.begin); word < end; ++word) {
    if (*word < plugin_begin_ || *word >= plugin_end_) continue;
    int instruction = instruction_of_object(word, end);
    uint64_t address = reinterpret_cast<uint64_t>(word);
    if (instruction != kNoThunk && block_size(address) > 0) thunks_[address] = instruction;
  }
}

// Code that was compiled while the program ran lies in memory of no file.
bool ThunkMap::compiled_code(uint64_t address) const {
  const MemoryRegion* region = region_of(regions_, address);
  return region != nullptr && region->executable && region->path.empty();
}

// glibc's malloc keeps the size in front of each block, its low bits used as flags; the lowest says that the block
// before is in use.
uint64_t ThunkMap::block_size(uint64_t address) const {
  if (address % 16 != 0) return 0;
  uint64_t size = *words_at(address - 8) & ~uint64_t{7};
  if (size < kSmallestBlock || size > kLargestThunk || size % 16 != 0 || !readable(address, size)) return 0;
  bool in_use = (*words_at(address + size - 8) & 1U) != 0;
  return in_use ? size - 8 : 0;
}

void ThunkMap::find_code(uint64_t thunk, int instruction) {
  for (uint64_t i = 0; i < block_size(thunk) / 8; ++i) {
    uint64_t word = words_at(thunk)[i];
    if (compiled_code(word)) {
      code_[word].push_back(instruction);
    } else if (word % 8 == 0 && readable(word, 8) && compiled_code(*words_at(word))) {
      code_[*words_at(word)].push_back(instruction);  // through an object whose first member it is
    }
  }
}

std::vector<uint64_t> ThunkMap::addresses() const {
  std::vector<uint64_t> out;
  for (const auto& [address, instruction] : thunks_) out.push_back(address);
  return out;
}

int ThunkMap::instruction(uint64_t address) const {
  auto found = thunks_.find(address);
  return found == thunks_.end() ? kNoThunk : found->second;
}

std::span<const int> ThunkMap::code_owners(uint64_t pc) const {
  auto after = code_.upper_bound(pc);
  if (after == code_.begin()) return {};
  const auto& [entry, owners] = *std::prev(after);
  // Another object's code has a region of its own.
  if (region_of(regions_, entry) != region_of(regions_, pc)) return {};
  return owners;
}

}  // namespace fathom
