#include "profile/unwind.h"

#include <unwind.h>

#include <algorithm>
#include <array>

namespace fathom {
namespace {

constexpr int kDeepest = 256;
// DWARF's numbers of rbx, rbp and r12 to r15.
constexpr std::array<int, 6> kCalleeSaved = {3, 6, 12, 13, 14, 15};

struct Walk {
  uint64_t pc;
  const MarkTable& marks;
  std::span<uint64_t> found;
  size_t count = 0;
  int depth = 0;
  bool begun = false;
};

_Unwind_Reason_Code visit(_Unwind_Context* frame, void* data) {
  Walk& walk = *static_cast<Walk*>(data);
  if (++walk.depth > kDeepest || walk.count == walk.found.size()) return _URC_END_OF_STACK;
  walk.begun = walk.begun || walk.pc == 0 || _Unwind_GetIP(frame) == walk.pc;
  if (!walk.begun) return _URC_NO_REASON;  // the signal handler's own frames
  for (int index : kCalleeSaved) {
    uint64_t word = _Unwind_GetGR(frame, index);
    auto end = walk.found.begin() + static_cast<std::ptrdiff_t>(walk.count);
    if (walk.count == walk.found.size() || !walk.marks.contains(word)) continue;
    if (std::find(walk.found.begin(), end, word) == end) walk.found[walk.count++] = word;
  }
  return _URC_NO_REASON;
}

}  // namespace

size_t marks_of_callers(uint64_t pc, const MarkTable& marks, std::span<uint64_t> found) {
  Walk walk{.pc = pc, .marks = marks, .found = found};
  _Unwind_Backtrace(visit, &walk);
  return walk.count;
}

}  // namespace fathom
