#include "report/json_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/json_text.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr int64_t kPiece = int64_t{4} << 20;   // bytes read at once
constexpr size_t kLongest = size_t{64} << 20;  // bytes of a line

}  // namespace

bool for_each_whole_line(const std::string& path,
                         const std::function<void(int64_t number, std::string_view line)>& take) {
  const std::unique_ptr<const FileReader> file = file_store(path).open(path);
  int64_t lines = 0;  // before `text`
  auto take_lines = [&](std::string_view text) {
    for_each_json_line(path, text, [&](int64_t number, std::string_view line) { take(lines + number, line); });
    lines += std::ranges::count(text, '\n');
  };
  std::string text;  // not taken yet
  for (int64_t offset = 0; offset < file->size();) {
    const int64_t bytes = std::min(kPiece, file->size() - offset);
    const size_t kept = text.size();
    text.resize(kept + static_cast<size_t>(bytes));
    file->read(offset, std::as_writable_bytes(std::span(text).subspan(kept)));
    offset += bytes;
    const size_t whole = text.rfind('\n') + 1;  // npos + 1 is 0
    take_lines(std::string_view(text).substr(0, whole));
    text.erase(0, whole);
    if (text.size() > kLongest) throw FormatError(path, fmt::format("line {} is too long for a run's", lines + 1));
  }
  try {
    take_lines(text);
  } catch (const FormatError&) {
    return true;
  }
  return false;
}

}  // namespace fathom
