#include "base/result_file.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace fathom {

namespace {

constexpr size_t kDigits = 16;  // of the checksum

// What stands behind the fields of an object that are checked.
std::string check_of(std::string_view fields) {
  return fmt::format(",\"check\":\"{}\"}}", hash_of(fields).substr(0, kDigits));
}

}  // namespace

std::string with_check(std::string_view object) {
  object.remove_suffix(1);
  return std::string(object) + check_of(object);
}

bool check_holds(std::string_view line) {
  static const size_t kLength = check_of("").size();
  if (line.size() < kLength) return false;
  const std::string_view fields = line.substr(0, line.size() - kLength);
  return line.substr(fields.size()) == check_of(fields);
}

ResultFile::ResultFile(std::string path, std::string_view beginning) : path_(std::move(path)) {
  std::error_code none;
  const std::filesystem::file_status status = std::filesystem::status(path_, none);
  if (path_.empty() || !std::filesystem::exists(status)) return;
  const bool device = !std::filesystem::is_regular_file(status) && !std::filesystem::is_directory(status);
  if (device) {
    grows_ = true;
    return;
  }
  before_ = read_file(path_);
  check_lines(beginning);
  const size_t whole = before_.rfind('\n') + 1;  // npos + 1 is 0
  grows_ = whole == before_.size();
  before_.resize(whole);
}

void ResultFile::check_lines(std::string_view beginning) const {
  int64_t number = 0;
  for (std::string_view rest = before_; !rest.empty();) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    ++number;
    const bool cut = end == std::string_view::npos;
    const bool own =
        cut ? line.starts_with(beginning) || beginning.starts_with(line) : !line.empty() && !line.ends_with('\r');
    if (!own) {
      throw FormatError(path_,
                        fmt::format("line {} was not written by this command; give --output another name", number));
    }
    rest.remove_prefix(cut ? rest.size() : end + 1);
  }
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
