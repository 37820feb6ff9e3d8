#include "profile/stack_search.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

uint64_t address(const void* p) { return reinterpret_cast<uint64_t>(p); }

// Words of memory that play a stack.
struct FakeStack {
  explicit FakeStack(size_t words) : memory(words) {}
  StackRegion region() const { return {address(memory.data()), address(memory.data() + memory.size())}; }
  uint64_t place(size_t word) const { return address(memory.data() + word); }
  std::vector<uint64_t> memory;
};

constexpr uint64_t kA = 0x1000, kB = 0x2000, kC = 0x3000;
constexpr std::array<uint64_t, 3> kMarks = {kA, kB, kC};

TEST(MarkTable, HoldsItsMarksAndNothingElse) {
  std::vector<uint64_t> marks;
  for (uint64_t i = 1; i <= 1000; ++i) marks.push_back(i * 16);
  MarkTable table(marks);
  for (uint64_t mark : marks) ASSERT_TRUE(table.contains(mark));
  EXPECT_FALSE(table.contains(0));
  EXPECT_FALSE(table.contains(17));
  EXPECT_FALSE(table.contains(16016));
  EXPECT_FALSE(MarkTable({}).contains(16));
}

TEST(StackSearch, TheInnermostMarkComesFirstAndNoneTwice) {
  FakeStack own(64);
  StackSearch search(kMarks);
  search.set_stacks({own.region()});
  own.memory[2] = kC;  // below the stack pointer: of a call that has returned
  own.memory[10] = kB;
  own.memory[11] = kB;
  own.memory[20] = kA;
  FoundMarks found = search.find(own.place(5), own.region());
  EXPECT_EQ(found.own, (std::array<uint64_t, 4>{kB, kA, 0, 0}));
  EXPECT_EQ(found.other, (std::array<uint64_t, 2>{}));
}

TEST(StackSearch, APointerIntoAnotherStackLeadsToTheMarkAboveIt) {
  FakeStack own(64), other(64);
  StackSearch search(kMarks);
  search.set_stacks({own.region(), other.region()});
  other.memory[3] = kA;  // below the place: finished calls of the other thread
  other.memory[30] = kB;
  own.memory[9] = other.place(8);
  FoundMarks found = search.find(own.place(0), own.region());
  EXPECT_EQ(found.own[0], 0U);
  EXPECT_EQ(found.other, (std::array<uint64_t, 2>{kB, 0}));
}

TEST(StackSearch, AnObjectOnTheHeapThatPointsToAStackCounts) {
  FakeStack own(64), other(64);
  StackSearch search(kMarks);
  search.set_stacks({own.region(), other.region()});
  std::vector<uint64_t> task(16);
  task[4] = other.place(1);
  other.memory[12] = kC;
  own.memory[7] = 0xdead0000;  // no memory there
  own.memory[8] = address(task.data());
  EXPECT_EQ(search.find(own.place(0), own.region()).other[0], kC);
}

TEST(StackSearch, AStackPointerThatIsElsewhereIsFollowedToTheSavedOne) {
  FakeStack own(64);
  StackSearch search(kMarks);
  search.set_stacks({own.region()});
  own.memory[3] = kA;
  own.memory[40] = kB;
  std::vector<uint64_t> buffer(128);
  EXPECT_EQ(search.find(address(buffer.data()), own.region()).own[0], 0U);
  buffer[6] = own.place(30);
  EXPECT_EQ(search.find(address(buffer.data()), own.region()).own[0], kB);
}

}  // namespace
}  // namespace fathom
