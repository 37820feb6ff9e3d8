#include "base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/log_file.h"
#include "base/write_all.h"

namespace fathom {
namespace {

constexpr const char* kPattern = "%L%m%d %H:%M:%S %v";

spdlog::level::level_enum level_of(LogLevel level) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::info, spdlog::level::warn, spdlog::level::err};
  return kLevels[static_cast<int>(level)];
}

// Lines on their way to a LogFile, each written at once: whatever ends the process, the file has them.
class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  FileSink() { set_pattern(kPattern); }

  void open(const std::string& path, bool anew) {
    const std::lock_guard lock(mutex_);
    if (open_) throw std::logic_error("LogFile: there is one already");
    open_ = true;
    path_ = path;
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (anew ? O_TRUNC : 0), 0666);
    if (descriptor_ < 0) {
      fault_ = fault(errno);
    } else {
      write(kept_text());
    }
    kept_.clear();
    bytes_ = dropped_ = 0;
  }

  void close() {
    const std::lock_guard lock(mutex_);
    close_descriptor();
    open_ = false;
  }

  std::string kept() {
    const std::lock_guard lock(mutex_);
    return kept_text();
  }

  // Why the file is not written any more, once.
  std::string take_fault() {
    const std::lock_guard lock(mutex_);
    return std::exchange(fault_, {});
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    const std::string_view line(text.data(), text.size());
    if (!open_) {
      keep(line);
    } else if (descriptor_ >= 0) {
      write(line);
    }
  }
  void flush_() override {}

  void keep(std::string_view line) {
    kept_.emplace_back(line);
    bytes_ += line.size();
    while (bytes_ > kKeptLogBytes && kept_.size() > 1) {
      bytes_ -= kept_.front().size();
      kept_.pop_front();
      ++dropped_;
    }
  }

  std::string kept_text() const {
    std::string out = dropped_ == 0 ? "" : fmt::format("({} earlier lines are left out)\n", dropped_);
    for (const std::string& line : kept_) out += line;
    return out;
  }

  void write(std::string_view text) {
    if (write_all(descriptor_, text)) return;
    fault_ = fault(errno);
    close_descriptor();
  }

  std::string fault(int error) const {
    return fmt::format("{}: cannot be written: {}; what is logged goes to stderr alone", path_, std::strerror(error));
  }

  void close_descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  bool open_ = false;  // a LogFile lives
  int descriptor_ = -1;
  std::string path_, fault_;
  std::deque<std::string> kept_;
  size_t bytes_ = 0, dropped_ = 0;  // bytes kept, lines dropped
};

const std::shared_ptr<FileSink>& file_sink() {
  static const auto sink = std::make_shared<FileSink>();
  return sink;
}

spdlog::logger& logger() {
  static auto instance = [] {
    auto error = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    // "\r\033[K" wipes a progress bar; it is written only where one can stand.
    error->set_pattern(isatty(STDERR_FILENO) != 0 ? std::string("\r\033[K") + kPattern : kPattern);
    return std::make_shared<spdlog::logger>("fathom", spdlog::sinks_init_list{error, file_sink()});
  }();
  return *instance;
}

// Outside of the sink, which cannot log.
void say_fault() {
  const std::string fault = file_sink()->take_fault();
  if (!fault.empty()) log_line(LogLevel::kWarning, fault);
}

}  // namespace

void log_line(LogLevel level, std::string_view message) {
  logger().log(level_of(level), spdlog::string_view_t(message.data(), message.size()));
  say_fault();
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

LogFile::LogFile(const std::string& path, bool anew) {
  file_sink()->open(path, anew);
  say_fault();
}

LogFile::~LogFile() { file_sink()->close(); }

void log_to_file(LogLevel level, std::string_view message) {
  file_sink()->log({"fathom", level_of(level), spdlog::string_view_t(message.data(), message.size())});
  say_fault();
}

std::string kept_log() { return file_sink()->kept(); }

}  // namespace fathom
