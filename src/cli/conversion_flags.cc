#include "cli/conversion_flags.h"

#include <fmt/format.h>

#include <limits>

#include "base/error.h"

namespace fathom {

ConversionOptions conversion_options(const CommandLine& line) {
  constexpr int64_t kMostThreads = 1024;
  ConversionOptions out;
  const int64_t threads = line.count_flag("threads", out.threads);
  if (threads > kMostThreads) {
    throw ConfigError(fmt::format("{}: --threads={}: at most {}", line.command, threads, kMostThreads));
  }
  out.threads = static_cast<int>(threads);
  const std::string compression = line.flag("compression").value_or("zstd");
  if (compression != "zstd" && compression != "none") {
    throw ConfigError(fmt::format("{}: --compression={}: zstd or none", line.command, compression));
  }
  out.compress = compression == "zstd";
  return out;
}

}  // namespace fathom
