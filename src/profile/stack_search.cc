#include "profile/stack_search.h"

#include <sys/uio.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace fathom {
namespace {

// How much of a stack is looked at.
constexpr uint64_t kScannedBytes = 65536;
constexpr uint64_t kHeapScannedBytes = 4096;
// Words of an object on the heap.
constexpr size_t kTaskWords = 16;
constexpr size_t kFrameWords = 64;
// Nothing is mapped below (the kernel's vm.mmap_min_addr).
constexpr uint64_t kLowestAddress = 65536;

uint64_t word_at(uint64_t address) { return *reinterpret_cast<const uint64_t*>(address); }

void add(uint64_t mark, std::span<uint64_t> found, size_t& count) {
  auto end = found.begin() + static_cast<std::ptrdiff_t>(count);
  if (count < found.size() && std::find(found.begin(), end, mark) == end) found[count++] = mark;
}

}  // namespace

MarkTable::MarkTable(std::span<const uint64_t> marks) {
  size_t slots = 1;
  while (slots <= 4 * marks.size()) slots *= 2;
  table_.assign(slots, 0);
  for (uint64_t mark : marks) {
    size_t slot = slot_of(mark);
    while (table_[slot] != 0) slot = (slot + 1) & (slots - 1);
    table_[slot] = mark;
  }
}

size_t MarkTable::slot_of(uint64_t address) const {
  constexpr uint64_t kFibonacci = 0x9E3779B97F4A7C15U;
  return static_cast<size_t>((address >> 4U) * kFibonacci >> 40U) & (table_.size() - 1);
}

bool MarkTable::contains(uint64_t address) const {
  if (address == 0) return false;
  for (size_t slot = slot_of(address); table_[slot] != 0; slot = (slot + 1) & (table_.size() - 1)) {
    if (table_[slot] == address) return true;
  }
  return false;
}

void StackSearch::set_stacks(std::vector<StackRegion> stacks) {
  stacks_ = std::move(stacks);
  std::sort(stacks_.begin(), stacks_.end(),
            [](const StackRegion& a, const StackRegion& b) { return a.begin < b.begin; });
}

const StackRegion* StackSearch::stack_of(uint64_t address) const {
  auto after = std::upper_bound(stacks_.begin(), stacks_.end(), address,
                                [](uint64_t a, const StackRegion& region) { return a < region.begin; });
  if (after == stacks_.begin()) return nullptr;
  const StackRegion& region = *std::prev(after);
  return region.contains(address) ? &region : nullptr;
}

bool StackSearch::read(uint64_t address, std::span<uint64_t> words) const {
  // A system call that says so where reading would fault.
  iovec to{words.data(), words.size_bytes()};
  iovec from{reinterpret_cast<void*>(address), words.size_bytes()};
  return process_vm_readv(process_, &to, 1, &from, 1, 0) == static_cast<ssize_t>(words.size_bytes());
}

FoundMarks StackSearch::find(uint64_t stack_pointer, const StackRegion& own) const {
  uint64_t top = stack_pointer & ~uint64_t{7};
  if (!own.contains(top)) {
    // Hand-written code may use the register otherwise (oneDNN's sgemm points it at its buffer) and keeps the old value
    // there.
    std::array<uint64_t, kFrameWords> frame;
    if (!read(top, frame)) return {};
    auto saved = std::find_if(frame.begin(), frame.end(), [&](uint64_t word) { return own.contains(word); });
    if (saved == frame.end()) return {};
    top = *saved & ~uint64_t{7};
  }
  uint64_t end = std::min(own.end, top + kScannedBytes);
  FoundMarks out;
  on_stack(top, end, out.own);
  through_pointers(top, end, own, out.other);
  if (out.own[0] == 0 && out.other[0] == 0) {
    through_heap(top, std::min(end, top + kHeapScannedBytes), own, out.other);
  }
  return out;
}

void StackSearch::on_stack(uint64_t begin, uint64_t end, std::span<uint64_t> found) const {
  size_t count = 0;
  for (uint64_t at = begin; at + 8 <= end && count < found.size(); at += 8) {
    uint64_t word = word_at(at);
    if (marks_.contains(word)) add(word, found, count);
  }
}

uint64_t StackSearch::above(uint64_t word, const StackRegion& own) const {
  const StackRegion* other = stack_of(word);
  if (other == nullptr || other->begin == own.begin) return 0;
  uint64_t place = word & ~uint64_t{7};
  std::array<uint64_t, 1> first = {};
  on_stack(place, std::min(other->end, place + kScannedBytes), first);
  return first[0];
}

void StackSearch::through_pointers(uint64_t begin, uint64_t end, const StackRegion& own,
                                   std::span<uint64_t> found) const {
  size_t count = 0;
  for (uint64_t at = begin; at + 8 <= end && count < found.size(); at += 8) {
    if (uint64_t mark = above(word_at(at), own)) add(mark, found, count);
  }
}

// A task that a pool runs is often an object on the heap that holds the pointer.
void StackSearch::through_heap(uint64_t begin, uint64_t end, const StackRegion& own, std::span<uint64_t> found) const {
  size_t count = 0;
  for (uint64_t at = begin; at + 8 <= end && count < found.size(); at += 8) {
    uint64_t word = word_at(at);
    std::array<uint64_t, kTaskWords> task;
    if (word % 8 != 0 || word < kLowestAddress || stack_of(word) != nullptr || !read(word, task)) continue;
    for (uint64_t inner : task) {
      uint64_t mark = marks_.contains(inner) ? inner : above(inner, own);
      if (mark != 0) add(mark, found, count);
    }
  }
}

}  // namespace fathom
