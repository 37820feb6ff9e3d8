#include "profile/thunk_map.h"

#include <algorithm>
#include <array>
#include <cstring>
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

// What is read of an object: as far as the string of the module may reach.
constexpr size_t kObjectWords = kLastNameWord + 2 * kStringWords;
constexpr size_t kChunkWords = size_t{1} << 17;  // of a region, at a time

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
  index_.clear();
}

// Of the std::string at `address`, whose words are `words`.
std::string ThunkMap::string_at(uint64_t address, std::span<const uint64_t> words) {
  const uint64_t data = words[0], size = words[1];
  if (size == 0 || size > kLongestName) return {};
  std::string out(size, '\0');
  if (data != address + 2 * sizeof(uint64_t)) return read_memory(data, out.data(), size) ? out : "";
  if (size > 2 * sizeof(uint64_t)) return {};
  std::memcpy(out.data(), &words[2], size);
  return out;
}

int ThunkMap::instruction_of_object(uint64_t address) const {
  std::array<uint64_t, kObjectWords + 1> words;
  if (!read_memory(address, words.data(), sizeof(words))) return kNoThunk;
  for (size_t i = 1; i <= kLastNameWord; ++i) {
    auto string = [&](size_t at) { return string_at(address + 8 * at, std::span(words).subspan(at, kStringWords)); };
    auto found = index_.find(string(i));
    if (found != index_.end() && string(i + kStringWords) == module_) return found->second;
  }
  return kNoThunk;
}

void ThunkMap::find_thunks(const MemoryRegion& region) {
  std::vector<uint64_t> chunk(kChunkWords);
  const auto own = reinterpret_cast<uint64_t>(chunk.data());  // copies of thunks are none
  for (uint64_t begin = region.begin; begin < region.end; begin += 8 * kChunkWords) {
    const size_t words = std::min<size_t>(kChunkWords, (region.end - begin) / 8);
    if (!read_memory(begin, chunk.data(), 8 * words)) continue;  // given back to the kernel meanwhile
    for (size_t i = 0; i < words; ++i) {
      if (chunk[i] < plugin_begin_ || chunk[i] >= plugin_end_) continue;
      const uint64_t address = begin + 8 * i;
      if (address - own < 8 * kChunkWords) continue;
      const int instruction = instruction_of_object(address);
      if (instruction != kNoThunk && block_size(address) > 0) thunks_[address] = instruction;
    }
  }
}

// Code that was compiled while the program ran lies in memory of no file.
bool ThunkMap::compiled_code(uint64_t address) const {
  const MemoryRegion* region = region_of(regions_, address);
  return region != nullptr && region->executable && region->path.empty();
}

// glibc's malloc keeps the size in front of each block, its low bits used as flags; the lowest says that the block
// before is in use.
uint64_t ThunkMap::block_size(uint64_t address) {
  uint64_t size = 0, next = 0;
  if (address % 16 != 0 || !read_memory(address - 8, &size, sizeof(size))) return 0;
  size &= ~uint64_t{7};
  if (size < kSmallestBlock || size > kLargestThunk || size % 16 != 0) return 0;
  if (!read_memory(address + size - 8, &next, sizeof(next))) return 0;
  const bool in_use = (next & 1U) != 0;
  return in_use ? size - 8 : 0;
}

void ThunkMap::find_code(uint64_t thunk, int instruction) {
  std::vector<uint64_t> words(block_size(thunk) / 8);
  if (!read_memory(thunk, words.data(), 8 * words.size())) return;
  for (uint64_t word : words) {
    uint64_t first = 0;
    if (compiled_code(word)) {
      code_[word].push_back(instruction);
    } else if (word % 8 == 0 && read_memory(word, &first, sizeof(first)) && compiled_code(first)) {
      code_[first].push_back(instruction);  // through an object whose first member it is
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
