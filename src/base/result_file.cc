#include "base/result_file.h"

#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace fathom {

ResultFile::ResultFile(std::string path) : path_(std::move(path)) {
  std::error_code none;
  const std::filesystem::file_status status = std::filesystem::status(path_, none);
  if (path_.empty() || !std::filesystem::exists(status)) return;
  const bool device = !std::filesystem::is_regular_file(status) && !std::filesystem::is_directory(status);
  if (device) {
    grows_ = true;
    return;
  }
  before_ = read_file(path_);
  const size_t whole = before_.rfind('\n') + 1;  // npos + 1 is 0
  grows_ = whole == before_.size();
  before_.resize(whole);
}

void ResultFile::begin_anew() {
  before_.clear();
  grows_ = false;
}

void ResultFile::add(std::string_view lines) {
  if (path_.empty()) return;
  if (!std::exchange(grows_, true)) return replace(before_ + std::string(lines));
  if (!file_.is_open()) file_.open(path_, std::ios::app | std::ios::binary);
  if (!(file_ << lines << std::flush)) throw RuntimeFault(path_ + ": cannot write");
}

void ResultFile::replace(std::string_view lines) {
  file_.close();  // what it would write to has another name soon
  if (!path_.empty()) write_file_atomically(path_, lines);
  grows_ = true;
}

}  // namespace fathom
