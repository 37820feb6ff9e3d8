// Progress and logs on stderr; results go to stdout and never through here.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

namespace fathom {

enum class LogLevel : uint8_t { kInfo, kWarning, kError };

// One line on stderr: "I1123 20:45:01 message". Thread-safe; clears a progress bar that stands on the terminal first.
void log_line(LogLevel level, std::string_view message);
// Says the line only the first time this exact message is logged in the process.
void log_once(LogLevel level, std::string_view message);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace fathom
