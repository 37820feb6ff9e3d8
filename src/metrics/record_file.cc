#include "metrics/record_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"

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
int64_t bytes_to_keep(const std::string& path, int64_t first_step) {
  auto file = MappedFile::open(path);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  size_t end = text.rfind('\n') + 1;  // npos + 1 is 0
  while (first_step > 0 && end > 0) {
    size_t begin = end == 1 ? 0 : text.rfind('\n', end - 2) + 1;
    if (step_of(path, begin, text.substr(begin, end - begin)) < first_step) return static_cast<int64_t>(end);
    end = begin;
  }
  return 0;
}

}  // namespace

RecordFile::RecordFile(std::string path, int64_t first_step) : path_(std::move(path)) {
  std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  std::error_code fault;
  if (!folder.empty()) std::filesystem::create_directories(folder, fault);
  if (fault) throw RuntimeFault(folder.string() + ": cannot make the folder: " + fault.message());
  int64_t keep = std::filesystem::is_regular_file(path_) ? bytes_to_keep(path_, first_step) : 0;
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0 || ::ftruncate(descriptor_, keep) != 0) {
    int reason = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw RuntimeFault(path_ + ": cannot write: " + std::strerror(reason));
  }
}

RecordFile::~RecordFile() { ::close(descriptor_); }

void RecordFile::append(std::string_view line) {
  // One write, so that a reader (or a kill) sees whole lines; a short one happens only when the disk is full.
  ssize_t written = ::write(descriptor_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    throw RuntimeFault(path_ + ": cannot write: " + (written < 0 ? std::strerror(errno) : "the disk is full"));
  }
}

}  // namespace fathom
