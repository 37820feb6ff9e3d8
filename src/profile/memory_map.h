// The address space of this process, as the kernel lists it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct MemoryRegion {
  uint64_t begin = 0, end = 0;
  bool readable = false, writable = false, executable = false;
  uint64_t file_offset = 0;
  std::string path;  // of the file; empty for anonymous memory, "[heap]", "[stack]"

  bool anonymous() const { return path.empty() || path.front() == '['; }
};

// In the order of addresses.
std::vector<MemoryRegion> memory_map();
// Reads the text of /proc/PID/maps. Throws FormatError.
std::vector<MemoryRegion> parse_memory_map(std::string_view text);

// Copies memory of this process. False where it cannot be read, which may have changed since memory_map(): other
// threads free what they use.
bool read_memory(uint64_t address, void* to, size_t bytes);

// The region of an address, or null.
const MemoryRegion* region_of(const std::vector<MemoryRegion>& map, uint64_t address);

}  // namespace fathom
