// The machine that the process runs on.
#pragma once

#include <cstdint>

namespace fathom {

// All of the machine's memory, whoever holds it; in a container with a limit of its own, that.
int64_t machine_memory_bytes();

}  // namespace fathom
