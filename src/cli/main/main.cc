// fathom COMMAND [configs/base.yml] [key=value ...] [--flag=value ...]
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/environment.h"
#include "base/error.h"
#include "base/log.h"
#include "base/stop_signals.h"
#include "cli/commands.h"
#include "cli/main/stack_limit.h"

int main(int argc, char** argv) {
  fathom::watch_stop_signals();
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit of a file's size is an error with a name
  try {
    fathom::require_stack(argv);
    const int code =
        fathom::run_command(std::vector<std::string>(argv + 1, argv + argc), fathom::process_environment());
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    throw fathom::RuntimeFault("stdout cannot be written: a part of the results is lost");
  } catch (const fathom::Error& e) {
    fathom::log_line(fathom::LogLevel::kError, fathom::ending_text(e));
    return e.exit_code();
  } catch (const std::exception& e) {
    fathom::log_line(fathom::LogLevel::kError, fathom::ending_text(e));
    return fathom::kExitFault;
  }
}
