#include "base/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace fathom {

int64_t machine_memory_bytes() {
  static const int64_t kBytes = [] {
    int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
    // A container's own limit, version 2 and 1 of control groups; "max" is no number.
    for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
      int64_t limit = 0;
      if (std::ifstream(path) >> limit && limit > 0) bytes = std::min(bytes, limit);
    }
    return bytes;
  }();
  return kBytes;
}

}  // namespace fathom
