// What to change when a training step does not fit into the memory of a device.
#pragma once

#include <cstdint>
#include <string>

#include "config/config.h"

namespace fathom {

// Bytes on one device.
struct MemoryNeed {
  int64_t needed = 0;  // 0: not known
  int64_t available = 0;
  int64_t arguments = 0;  // of `needed`: parameters, moments and the batch
  int64_t devices = 1;
  int64_t all_arguments = 0;  // parameters, moments and the batch once, over all devices together
};

// One line: by how much it is too large, what takes the memory, and keys with values that would make it fit. Figures
// for the batch and the length are estimates: memory for activations grows in proportion to both.
std::string memory_advice(const MemoryNeed& need, const Config& config);

}  // namespace fathom
