#include "config/keys/keys.h"

#include <cstdio>

#include "cli/commands.h"

namespace fathom {

int run_keys(const CommandLine& line, const Environment&) {
  line.allow_flags({});
  std::fputs(keys_markdown().c_str(), stdout);
  return 0;
}

}  // namespace fathom
