#include "profile/unwind.h"

#include <gtest/gtest.h>

#include <array>

namespace fathom {
namespace {

constexpr uint64_t kMark = 0x5eed0, kInner = 0x1eed0;
const MarkTable kMarks(std::array<uint64_t, 2>{kMark, kInner});

// Leaves the register alone after the call, so that the compiler must save it over the call.
void keep(uint64_t word) { asm volatile("" : : "r"(word)); }

[[gnu::noinline]] std::vector<uint64_t> look() {
  std::array<uint64_t, 4> found = {};
  size_t count = marks_of_callers(0, kMarks, found);
  return {found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count)};
}

[[gnu::noinline, gnu::optimize("O2")]] std::vector<uint64_t> inner(uint64_t mark) {
  std::vector<uint64_t> found = look();
  keep(mark);
  return found;
}

[[gnu::noinline, gnu::optimize("O2")]] std::vector<uint64_t> outer(uint64_t mark, uint64_t below) {
  std::vector<uint64_t> found = inner(below);
  keep(mark);
  return found;
}

TEST(MarksOfCallers, TheInnermostCallerComesFirst) {
  EXPECT_EQ(outer(kMark, kInner), (std::vector<uint64_t>{kInner, kMark}));
  EXPECT_EQ(outer(kMark, 1), (std::vector<uint64_t>{kMark}));
}

TEST(MarksOfCallers, ACallThatHasReturnedIsNoCaller) {
  outer(kMark, kInner);  // leaves its words below the stack pointer
  EXPECT_EQ(outer(1, 2), (std::vector<uint64_t>{}));
}

}  // namespace
}  // namespace fathom
