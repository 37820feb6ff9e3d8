// Text files with an index of the places of their documents. Local files are read where a document lies, so that one
// that is cut meanwhile is an error and not a signal. Packed files (.gz, .zst) are read as what they hold, and objects
// of a bucket from a copy that is made once (data/packed_files.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/packed_files.h"
#include "storage/file_store.h"

namespace fathom {

// 16 bytes a document.
struct TextSpan {
  uint64_t file : 16;
  uint64_t begin : 48;
  uint64_t size = 0;
};

// A line of a file, [begin, end) without its line feed.
struct TextLine {
  size_t begin = 0;
  size_t end = 0;
  bool blank = true;        // white space only
  bool ends_in_cr = false;  // "\r" before the line feed
  bool empty() const { return end - begin == (ends_in_cr ? 1 : 0); }
};

// Not for several threads at once.
class LineFiles {
 public:
  explicit LineFiles(const std::vector<std::string>& paths);

  size_t files() const { return paths_.size(); }
  const std::string& path(size_t file) const { return paths_[file]; }
  // Calls take(offset, bytes) with the file's bytes from `begin` to `end`, block by block.
  using TakeBlock = std::function<void(size_t offset, std::string_view bytes)>;
  void for_each_block(size_t file, size_t begin, size_t end, const TakeBlock& take) const;
  // The lines of a file; a UTF-8 byte order mark at its start is left out.
  void for_each_line(size_t file, const std::function<void(const TextLine&)>& take) const;
  size_t size_of(size_t file) const { return files_[file].size; }
  // Offset of the first byte after a byte order mark.
  size_t start(size_t file) const;

  void add(size_t file, size_t begin, size_t size);
  int64_t size() const { return static_cast<int64_t>(spans_.size()); }
  // Valid until the next call. Throws FormatError when the file has become shorter.
  std::string_view text(int64_t i);
  int64_t total_bytes() const { return total_bytes_; }
  // "path:line", lines counted from 1. Counts the line ends before the document: for messages only.
  std::string where(int64_t i) const;

 private:
  struct File {
    size_t size = 0;
    bool kept = false;                         // in `packed_`: then `reader` stays
    std::unique_ptr<const FileReader> reader;  // of another one, while it is open
  };
  const FileReader& reader(size_t file) const;

  std::vector<std::string> paths_;
  PackedFiles packed_;
  mutable std::vector<File> files_;
  mutable size_t open_files_ = 0;
  std::vector<TextSpan> spans_;
  std::vector<char> buffer_;  // of text()
  int64_t total_bytes_ = 0;
};

}  // namespace fathom
