#include "profile/memory_map.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/error.h"

namespace fathom {
namespace {

constexpr const char* kMaps = "/proc/self/maps";

uint64_t hexadecimal(std::string_view text, std::string_view line) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw FormatError(kMaps, "not a line of a memory map: " + std::string(line));
  }
  return value;
}

// "7f0000000000-7f0000021000 rw-p 00000000 00:00 0        /path"
MemoryRegion parse_line(const std::string& line) {
  std::istringstream in(line);
  std::string range, flags, offset, device, inode, path;
  in >> range >> flags >> offset >> device >> inode;
  std::getline(in >> std::ws, path);
  size_t dash = range.find('-');
  if (dash == std::string::npos || flags.size() < 4) {
    throw FormatError(kMaps, "not a line of a memory map: " + line);
  }
  return {.begin = hexadecimal(std::string_view(range).substr(0, dash), line),
          .end = hexadecimal(std::string_view(range).substr(dash + 1), line),
          .readable = flags[0] == 'r',
          .writable = flags[1] == 'w',
          .executable = flags[2] == 'x',
          .file_offset = hexadecimal(offset, line),
          .path = path};
}

}  // namespace

std::vector<MemoryRegion> parse_memory_map(std::string_view text) {
  std::vector<MemoryRegion> out;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) out.push_back(parse_line(line));
  return out;
}

std::vector<MemoryRegion> memory_map() {
  std::ifstream file(kMaps);
  return parse_memory_map(std::string(std::istreambuf_iterator<char>(file), {}));
}

bool read_memory(uint64_t address, void* to, size_t bytes) {
  // A system call that says so where reading would fault.
  iovec here{to, bytes};
  iovec there{reinterpret_cast<void*>(address), bytes};
  return process_vm_readv(::getpid(), &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes);
}

const MemoryRegion* region_of(const std::vector<MemoryRegion>& map, uint64_t address) {
  auto after = std::upper_bound(map.begin(), map.end(), address,
                                [](uint64_t a, const MemoryRegion& region) { return a < region.begin; });
  if (after == map.begin()) return nullptr;
  const MemoryRegion& region = *std::prev(after);
  return address < region.end ? &region : nullptr;
}

}  // namespace fathom
