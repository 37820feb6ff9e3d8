// The exact way to find a mark: unwinding the calling thread's own stack.
#pragma once

#include <cstdint>
#include <span>

#include "profile/stack_search.h"

namespace fathom {

// Marks that the callers of `pc` hold in callee-saved registers (an object's `this` mostly is in one while its method
// waits for a call), the innermost first, put into `found`; returns how many. `pc` 0 means the caller of this function.
// Code without unwind tables ends it. Not for signal handlers: libgcc takes a lock for it.
size_t marks_of_callers(uint64_t pc, const MarkTable& marks, std::span<uint64_t> found);

}  // namespace fathom
