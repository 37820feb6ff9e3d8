// fathom COMMAND [configs/base.yml] [key=value ...] [--flag=value ...]
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/environment.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"

int main(int argc, char** argv) {
  try {
    return fathom::run_command(std::vector<std::string>(argv + 1, argv + argc), fathom::process_environment());
  } catch (const fathom::Error& e) {
    fathom::log_line(fathom::LogLevel::kError, e.what());
    return e.exit_code();
  } catch (const std::exception& e) {
    fathom::log_line(fathom::LogLevel::kError, std::string("internal fault: ") + e.what());
    return fathom::kExitFault;
  }
}
