// Looking for known addresses on the stacks of this process, from inside a signal handler.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace fathom {

// The memory of one thread's stack.
struct StackRegion {
  uint64_t begin = 0, end = 0;
  bool contains(uint64_t address) const { return begin <= address && address < end; }
};

// Addresses that are looked for: those of objects that tell what a thread works on.
class MarkTable {
 public:
  explicit MarkTable(std::span<const uint64_t> marks);
  bool contains(uint64_t address) const;

 private:
  size_t slot_of(uint64_t address) const;
  std::vector<uint64_t> table_;  // open addressing; a power of two, mostly empty
};

// The marks that led a thread to where it is; zeros at the end.
struct FoundMarks {
  // On its own stack, the innermost first.
  std::array<uint64_t, 4> own = {};
  // Found through a pointer into another thread's stack, the innermost pointer first: that thread waits for the work
  // done here, or shares in it, and the mark stands above that place.
  std::array<uint64_t, 2> other = {};
};

class StackSearch {
 public:
  explicit StackSearch(std::span<const uint64_t> marks) : marks_(marks) {}
  // Of all threads that may be met; before the first find().
  void set_stacks(std::vector<StackRegion> stacks);
  const MarkTable& marks() const { return marks_; }
  // Of a thread that stands still at `stack_pointer`; every word counts, also one that a finished call has left behind.
  // Allocates nothing, takes no lock.
  FoundMarks find(uint64_t stack_pointer, const StackRegion& own) const;

 private:
  // Each puts what it finds into `found`, at most that many and none twice.
  void on_stack(uint64_t begin, uint64_t end, std::span<uint64_t> found) const;
  void through_pointers(uint64_t begin, uint64_t end, const StackRegion& own, std::span<uint64_t> found) const;
  void through_heap(uint64_t begin, uint64_t end, const StackRegion& own, std::span<uint64_t> found) const;
  // The innermost mark of another thread's stack above the place that `word` points at, or 0.
  uint64_t above(uint64_t word, const StackRegion& own) const;
  const StackRegion* stack_of(uint64_t address) const;
  // The words at `address`, wherever that is; false where there is no memory.
  bool read(uint64_t address, std::span<uint64_t> words) const;

  MarkTable marks_;
  std::vector<StackRegion> stacks_;  // sorted
  int process_ = getpid();
};

}  // namespace fathom
