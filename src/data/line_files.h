// Text files held in memory (mapped, when they are local) with an index of the places of their documents.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/file_store.h"

namespace fathom {

// 16 bytes a document.
struct TextSpan {
  uint64_t file : 16;
  uint64_t begin : 48;
  uint64_t size = 0;
};

class LineFiles {
 public:
  // Reads or maps the files; a UTF-8 byte order mark at the start of one is skipped by `start`.
  explicit LineFiles(const std::vector<std::string>& paths);

  size_t files() const { return files_.size(); }
  std::string_view bytes(size_t file) const { return files_[file].bytes; }
  const std::string& path(size_t file) const { return paths_[file]; }
  // Offset of the first byte after a byte order mark.
  size_t start(size_t file) const;

  void add(size_t file, size_t begin, size_t size);
  int64_t size() const { return static_cast<int64_t>(spans_.size()); }
  std::string_view text(int64_t i) const;
  int64_t total_bytes() const { return total_bytes_; }
  const std::string& path_of(int64_t i) const { return paths_[spans_[static_cast<size_t>(i)].file]; }
  // "path:line", lines counted from 1. Counts the line ends before the document: for messages only.
  std::string where(int64_t i) const;

 private:
  std::vector<std::string> paths_;
  std::vector<FileBytes> files_;
  std::vector<TextSpan> spans_;
  int64_t total_bytes_ = 0;
};

}  // namespace fathom
