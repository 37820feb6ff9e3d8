#include "metrics/record_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace fathom {
namespace {

int64_t step_of(const std::string& path, size_t offset, std::string_view line) {
  nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (record.is_object() && record.contains("step") && record["step"].is_number_integer()) {
    return record["step"].get<int64_t>();
  }
  throw FormatError(path, static_cast<int64_t>(offset),
                    "not a line of metrics with an integer \"step\"; move the file away, or give the run another name");
}

// How many bytes of the file are records of steps before `first_step`. Records stand in the order of their steps, so
// the others are a tail; a line that was cut off in writing is one of them.
int64_t bytes_to_keep(const std::string& path, const std::string& shown, int64_t first_step) {
  const std::string file = read_file(path);
  const std::string_view text(file);
  size_t end = text.rfind('\n') + 1;  // npos + 1 is 0
  while (first_step > 0 && end > 0) {
    size_t begin = end == 1 ? 0 : text.rfind('\n', end - 2) + 1;
    if (step_of(shown, begin, text.substr(begin, end - begin)) < first_step) return static_cast<int64_t>(end);
    end = begin;
  }
  return 0;
}

// Of the last record of the first `bytes`.
int64_t last_step(const std::string& path, const std::string& shown, int64_t bytes) {
  const std::string file = read_file(path);
  const std::string_view text = std::string_view(file).substr(0, static_cast<size_t>(bytes));
  const size_t begin = text.size() < 2 ? 0 : text.rfind('\n', text.size() - 2) + 1;
  return step_of(shown, begin, text.substr(begin));
}

}  // namespace

RecordFile::RecordFile(Options options) : options_(std::move(options)) {
  namespace fs = std::filesystem;
  const std::string& path = options_.path;
  if (options_.shown.empty()) options_.shown = path;
  auto cannot_write = [&](int reason) {
    if (descriptor_ >= 0) ::close(descriptor_);
    throw RuntimeFault(fmt::format("{}: {}: cannot write: {}", options_.key, options_.shown, std::strerror(reason)));
  };
  const fs::path folder = fs::path(path).parent_path();
  std::error_code fault;
  if (!folder.empty()) fs::create_directories(folder, fault);
  if (fault) cannot_write(fault.value());
  std::error_code none;
  if (!fs::exists(path, none)) on_stop_.emplace(path);  // first, for a signal may come at once
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  made_ = descriptor_ >= 0;
  // Not to wait for the reader of a pipe.
  if (!made_) on_stop_.reset();
  if (!made_) descriptor_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  struct stat is {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &is) != 0 || ::fcntl(descriptor_, F_SETFL, O_APPEND) != 0) {
    cannot_write(errno);
  }
  regular_ = S_ISREG(is.st_mode);
  try {
    if (regular_) lock();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

// Of the file itself: it is what two runs would spoil. Where the file system knows no locks there is none.
void RecordFile::lock() {
  const std::string& path = options_.path;
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw ConfigError(fmt::format("{}: another process is writing {}; wait for its end, or write elsewhere (run_name)",
                                  options_.key, options_.shown));
  }
  const bool empty = std::filesystem::file_size(path) == 0;
  if (options_.own) {
    // What go_on() would refuse at the file's end is refused before the run has done anything.
    if (!empty) bytes_to_keep(path, options_.shown, std::numeric_limits<int64_t>::max());
    return;
  }
  keep_ = empty ? 0 : bytes_to_keep(path, options_.shown, options_.first_step);
  if (!empty && keep_ == 0 && !options_.overwrite) {
    throw ConfigError(
        fmt::format("{}: {} holds the metrics of another run: take another run_name, or let "
                    "overwrite=true drop them",
                    options_.key, options_.shown));
  }
}

RecordFile::~RecordFile() {
  if (made_ && !begun_) ::unlink(options_.path.c_str());
  ::close(descriptor_);
}

void RecordFile::go_on(int64_t first_step) {
  options_.first_step = first_step;
  if (!regular_) return;
  const bool empty = std::filesystem::file_size(options_.path) == 0;
  keep_ = empty ? 0 : bytes_to_keep(options_.path, options_.shown, first_step);
  const int64_t last = keep_ == 0 ? -1 : last_step(options_.path, options_.shown, keep_);
  if (last + 1 == first_step || !options_.every_step) return;
  log_warning("{}: its records end with {}, and the run goes on with step {}", options_.shown,
              last < 0 ? "none" : fmt::format("step {}", last), first_step);
}

void RecordFile::begin() {
  if (regular_ && ::ftruncate(descriptor_, keep_) != 0) {
    throw RuntimeFault(options_.path + ": cannot write: " + std::strerror(errno));
  }
  begun_ = true;
  on_stop_.reset();
}

void RecordFile::append(std::string_view line) {
  if (!begun_) begin();
  struct stat is {};
  if (regular_ && ::fstat(descriptor_, &is) == 0 && is.st_nlink == 0) {
    throw RuntimeFault(options_.path + ": the file was removed while the run was writing it");
  }
  // One write, so that a reader (or a kill) sees whole lines; a short one happens only when the disk is full.
  ssize_t written = ::write(descriptor_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    throw RuntimeFault(options_.path + ": cannot write: " + (written < 0 ? std::strerror(errno) : "the disk is full"));
  }
}

}  // namespace fathom
