#include "cli/main/stack_limit.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"

namespace fathom {

void require_stack(char** argv) {
  constexpr rlim_t kSmallest = rlim_t{2} << 20, kUsual = rlim_t{8} << 20;
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kSmallest) return;
  const rlim_t had = limit.rlim_cur;
  limit.rlim_cur = std::min(kUsual, limit.rlim_max);
  if (limit.rlim_cur >= kSmallest && ::setrlimit(RLIMIT_STACK, &limit) == 0) {
    ::execv("/proc/self/exe", argv);  // a stack has the size of the limit at the start of the program
  }
  throw ConfigError(fmt::format("the limit of the stack is {} kB; raise it to {} kB at least (`ulimit -s`)", had >> 10,
                                kSmallest >> 10));
}

}  // namespace fathom
