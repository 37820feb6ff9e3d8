// fathom COMMAND [configs/base.yml] [key=value ...] [--flag=value ...]
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"

namespace {

fathom::Environment environment_map() {
  fathom::Environment out;
  for (char** e = environ; *e != nullptr; ++e) {
    std::string entry = *e;
    size_t equals = entry.find('=');
    if (equals != std::string::npos) out.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return fathom::run_command(std::vector<std::string>(argv + 1, argv + argc), environment_map());
  } catch (const fathom::Error& e) {
    fathom::log_line(fathom::LogLevel::kError, e.what());
    return e.exit_code();
  } catch (const std::exception& e) {
    fathom::log_line(fathom::LogLevel::kError, std::string("internal fault: ") + e.what());
    return fathom::kExitFault;
  }
}
