#include "convert/conversion.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "base/units.h"
#include "base/write_all.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWipe = "\r\033[K";

// "[######..............]  30%", cut with the text behind it to what the terminal has.
std::string bar_line(std::string_view what, const ConversionState& state) {
  constexpr int kColumns = 20, kUsualWidth = 80;
  double part = state.total > 0 ? static_cast<double>(state.done) / static_cast<double>(state.total) : 0;
  part = std::clamp(part, 0.0, 1.0);
  const auto filled = static_cast<size_t>(part * kColumns);
  std::string out = fmt::format("{} [{}{}] {:3.0f}%  {}", what, std::string(filled, '#'),
                                std::string(kColumns - filled, '.'), 100 * part, conversion_text(state));
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  const auto width = static_cast<size_t>(known ? size.ws_col : kUsualWidth) - 1;  // the cursor must not wrap
  if (out.size() > width) out.resize(width);
  return out;
}

// A figure of /proc/self/status, in bytes; 0 where it is not told.
int64_t process_memory(std::string_view field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field) && line.size() > field.size() && line[field.size()] == ':') {
      return std::strtoll(line.c_str() + field.size() + 1, nullptr, 10) * 1024;
    }
  }
  return 0;
}

}  // namespace

std::string conversion_text(const ConversionState& state) {
  std::string out = fmt::format("{:.2f} ", static_cast<double>(state.done) * 1e-9);
  if (state.total > 0) out += fmt::format("of {:.2f} ", static_cast<double>(state.total) * 1e-9);
  out += fmt::format("GB, {:.2f} GB/s", state.bytes_per_second * 1e-9);
  if (state.seconds_left >= 0) {
    const int64_t seconds = std::llround(state.seconds_left);
    out += fmt::format(", {}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60);
  }
  return out;
}

ConversionProgress::ConversionProgress(std::string what, int64_t total_bytes)
    : what_(std::move(what)), total_(total_bytes) {
  try {
    thread_ = std::thread([this] { watch(); });
  } catch (const std::system_error&) {
    // No thread to be had: the conversion stays silent until its end.
  }
}

ConversionProgress::~ConversionProgress() { end(); }

ConversionState ConversionProgress::state() const {
  const int64_t moved = moved_, kept = kept_;
  const double seconds = since_.seconds();
  ConversionState out{.done = moved + kept, .total = total_};
  if (seconds > 0) out.bytes_per_second = static_cast<double>(moved) / seconds;
  if (moved > 0 && total_ > 0) {
    out.seconds_left = static_cast<double>(std::max<int64_t>(total_ - out.done, 0)) / out.bytes_per_second;
  }
  return out;
}

void ConversionProgress::show(bool on_terminal) const {
  if (on_terminal) {
    write_all(STDERR_FILENO, std::string(kWipe) + bar_line(what_, state()));
  } else {
    log_info("{}: {}", what_, conversion_text(state()));
  }
}

void ConversionProgress::watch() {
  constexpr double kRedraw = 0.1, kFirst = 3, kLongest = 30;  // seconds
  const bool on_terminal = isatty(STDERR_FILENO) != 0;
  double pause = on_terminal ? kRedraw : kFirst;
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, std::chrono::duration<double>(pause), [this] { return ended_; })) {
    show(on_terminal);
    if (!on_terminal) pause = std::clamp(since_.seconds() / 4, kFirst, kLongest);
  }
  if (on_terminal) write_all(STDERR_FILENO, kWipe);
}

void ConversionProgress::end() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ends_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ConversionProgress::finish() {
  const double seconds = since_.seconds();
  end();
  const int64_t moved = moved_, kept = kept_;
  if (kept > 0) log_info("{}: {} were there already and stay", what_, gigabytes(kept));
  const std::string line = fmt::format(
      "{}: {} bytes read and written in {:.2f} s, {:.2f} GB/s, peak memory {:.3f} GB\n", what_, moved, seconds,
      seconds > 0 ? static_cast<double>(moved) / seconds * 1e-9 : 0.0, static_cast<double>(peak_memory_bytes()) * 1e-9);
  if (!write_all(STDOUT_FILENO, line)) {
    throw RuntimeFault(std::string("cannot write to the standard output: ") + std::strerror(errno));
  }
}

int64_t free_space(const std::string& folder) {
  constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();
  if (is_remote(folder)) return kUnknown;
  std::error_code fault;
  fs::path place = fs::absolute(folder, fault);
  while (!fs::exists(place, fault) && place.has_relative_path()) place = place.parent_path();
  const fs::space_info space = fs::space(place, fault);
  return fault ? kUnknown : static_cast<int64_t>(std::min<uintmax_t>(space.available, kUnknown));
}

void require_free_space(const std::string& folder, int64_t bytes) {
  const int64_t free = free_space(folder);
  if (free >= bytes) return;
  throw ConfigError(fmt::format("{}: {} ({} bytes) are needed, but only {} ({} bytes) are free there", folder,
                                gigabytes(bytes), bytes, gigabytes(free), free));
}

int64_t peak_memory_bytes() { return std::max<int64_t>(process_memory("VmHWM") - process_memory("RssFile"), 0); }

}  // namespace fathom
