#include "data/line_files.h"

#include "base/error.h"

namespace fathom {

LineFiles::LineFiles(const std::vector<std::string>& paths) : paths_(paths) {
  if (paths.size() > 0xffff) throw ConfigError("a data set of more than 65535 text files: join some, or use parquet");
  for (const std::string& path : paths) files_.push_back(file_store(path).read(path));
}

size_t LineFiles::start(size_t file) const { return files_[file].bytes.starts_with("\xef\xbb\xbf") ? 3 : 0; }

void LineFiles::add(size_t file, size_t begin, size_t size) {
  spans_.push_back({.file = file & 0xffff, .begin = begin & 0xffffffffffff, .size = size});
  total_bytes_ += static_cast<int64_t>(size);
}

std::string_view LineFiles::text(int64_t i) const {
  const TextSpan& span = spans_[static_cast<size_t>(i)];
  return files_[span.file].bytes.substr(span.begin, span.size);
}

std::string LineFiles::where(int64_t i) const {
  const TextSpan& span = spans_[static_cast<size_t>(i)];
  std::string_view before = files_[span.file].bytes.substr(0, span.begin);
  return fmt::format("{}:{}", paths_[span.file], 1 + std::count(before.begin(), before.end(), '\n'));
}

}  // namespace fathom
