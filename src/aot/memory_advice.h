// What to change when a program does not fit into the memory of a device.
#pragma once

#include <cstdint>
#include <string>

#include "aot/staged_program.h"
#include "config/config.h"

namespace fathom {

// Bytes on one device.
struct MemoryNeed {
  int64_t needed = 0;  // 0: not known
  int64_t available = 0;
  int64_t devices = 1;
  HeldBytes held;  // of `needed`: state, batch, logits
};

// One line: by how much it is too large, what takes the memory, and keys with values that would make it fit. Figures
// for the batch and the length are estimates: memory for activations grows in proportion to both.
std::string memory_advice(const MemoryNeed& need, ProgramKind kind, const Config& config);

}  // namespace fathom
