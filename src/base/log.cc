#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <mutex>
#include <set>
#include <string>

namespace fathom {
namespace {

spdlog::logger& logger() {
  static auto instance = [] {
    auto l = std::make_shared<spdlog::logger>("fathom", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    // "\r\033[K" wipes a progress bar; it is written only where one can stand.
    l->set_pattern(isatty(STDERR_FILENO) != 0 ? "\r\033[K%L%m%d %H:%M:%S %v" : "%L%m%d %H:%M:%S %v");
    return l;
  }();
  return *instance;
}

}  // namespace

void log_line(LogLevel level, std::string_view message) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::info, spdlog::level::warn, spdlog::level::err};
  logger().log(kLevels[static_cast<int>(level)], spdlog::string_view_t(message.data(), message.size()));
}

void log_once(LogLevel level, std::string_view message) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> said;
  {
    std::lock_guard lock(mutex);
    if (!said.emplace(message).second) return;
  }
  log_line(level, message);
}

}  // namespace fathom
