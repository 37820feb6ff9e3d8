// What a process logs, kept for a file.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/log.h"

namespace fathom {

// While there is no LogFile, the last lines of about so many bytes are kept.
inline constexpr size_t kKeptLogBytes = size_t{1} << 20;

// One at a time in a process. It gets the lines that are kept, which then are so no longer, and while it lives each
// line as it is logged. When the file cannot be written, a warning says so and it gets no more lines.
class LogFile {
 public:
  // Makes the file or goes on at its end; `anew`: what it held goes.
  explicit LogFile(const std::string& path, bool anew = false);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
};

// A line for the file alone: stderr is told by whoever ends the program.
void log_to_file(LogLevel level, std::string_view message);
// The lines that are kept; where earlier ones were dropped, the first says how many.
std::string kept_log();

}  // namespace fathom
