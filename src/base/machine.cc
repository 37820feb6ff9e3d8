#include "base/machine.h"

#include <unistd.h>

namespace fathom {

int64_t machine_memory_bytes() { return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE); }

}  // namespace fathom
