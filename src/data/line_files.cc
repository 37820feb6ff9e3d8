#include "data/line_files.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "base/remote_path.h"

namespace fathom {

namespace {

constexpr size_t kBlock = size_t{1} << 20;
// Far below what a process may open, and enough that documents in any order rarely wait for a file to be opened.
constexpr size_t kMaxOpen = 256;
constexpr size_t kMaxDocument = size_t{1} << 31;  // bytes

// Cuts blocks into lines.
class LineCutter {
 public:
  LineCutter(size_t begin, const std::function<void(const TextLine&)>& take) : line_{.begin = begin}, take_(take) {}

  void add(size_t offset, std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t stop = std::min(bytes.find('\n'), bytes.size());
      extend(bytes.substr(0, stop));
      const bool ended = stop < bytes.size();
      offset += stop + (ended ? 1 : 0);
      if (ended) finish(offset);
      bytes.remove_prefix(stop + (ended ? 1 : 0));
    }
    end_ = offset;
  }

  // The last line, which needs no line feed.
  void finish_last() {
    if (line_.begin < end_) finish(end_ + 1);
  }

 private:
  void extend(std::string_view part) {
    if (part.empty()) return;
    line_.blank = line_.blank && part.find_first_not_of(" \t\r") == std::string_view::npos;
    line_.ends_in_cr = part.back() == '\r';
  }

  void finish(size_t next) {
    line_.end = next - 1;
    take_(line_);
    line_ = {.begin = next};
  }

  TextLine line_;
  size_t end_ = 0;
  const std::function<void(const TextLine&)>& take_;
};

}  // namespace

LineFiles::LineFiles(const std::vector<std::string>& paths) : paths_(paths), files_(paths.size()) {
  if (paths.size() > 0xffff) throw ConfigError("a data set of more than 65535 text files: join some, or use parquet");
  for (size_t i = 0; i < paths.size(); ++i) {
    if (packing_of(paths[i]) != Packing::kNone || is_remote(paths[i])) {
      files_[i].kept = true;
      files_[i].size = static_cast<size_t>(packed_.add(paths[i], files_[i].reader));
    } else {
      files_[i].size = static_cast<size_t>(file_store(paths[i]).size(paths[i]));
    }
  }
}

const FileReader& LineFiles::reader(size_t file) const {
  std::unique_ptr<const FileReader>& reader = files_[file].reader;
  if (reader == nullptr) {
    if (open_files_ == kMaxOpen) {
      for (File& other : files_) {
        if (!other.kept) other.reader.reset();
      }
      open_files_ = 0;
    }
    reader = file_store(paths_[file]).open(paths_[file]);
    ++open_files_;
  }
  return *reader;
}

void LineFiles::for_each_block(size_t file, size_t begin, size_t end, const TakeBlock& take) const {
  std::vector<char> block(std::min(kBlock, end - std::min(begin, end)));
  while (begin < end) {
    std::span<char> part(block.data(), std::min(block.size(), end - begin));
    reader(file).read(static_cast<int64_t>(begin), std::as_writable_bytes(part));
    take(begin, {part.data(), part.size()});
    begin += part.size();
  }
}

void LineFiles::for_each_line(size_t file, const std::function<void(const TextLine&)>& take) const {
  const size_t begin = start(file);
  LineCutter lines(begin, take);
  for_each_block(file, begin, files_[file].size,
                 [&](size_t offset, std::string_view bytes) { lines.add(offset, bytes); });
  lines.finish_last();
}

size_t LineFiles::start(size_t file) const {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  bool marked = false;
  for_each_block(file, 0, std::min(kMark.size(), files_[file].size),
                 [&](size_t, std::string_view bytes) { marked = bytes == kMark; });
  return marked ? kMark.size() : 0;
}

void LineFiles::add(size_t file, size_t begin, size_t size) {
  spans_.push_back({.file = file & 0xffff, .begin = begin & 0xffffffffffff, .size = size});
  total_bytes_ += static_cast<int64_t>(size);
}

std::string_view LineFiles::text(int64_t i) {
  const TextSpan& span = spans_[static_cast<size_t>(i)];
  if (span.size > kMaxDocument) {
    throw FormatError(where(i), fmt::format("a document of {} bytes; {} are the most", span.size, kMaxDocument));
  }
  if (buffer_.size() < span.size) buffer_.resize(span.size);
  std::span<char> out(buffer_.data(), span.size);
  reader(span.file).read(static_cast<int64_t>(span.begin), std::as_writable_bytes(out));
  return {out.data(), out.size()};
}

std::string LineFiles::where(int64_t i) const {
  const TextSpan& span = spans_[static_cast<size_t>(i)];
  int64_t line = 1;
  for_each_block(span.file, 0, span.begin,
                 [&](size_t, std::string_view bytes) { line += std::count(bytes.begin(), bytes.end(), '\n'); });
  return fmt::format("{}:{}", paths_[span.file], line);
}

}  // namespace fathom
