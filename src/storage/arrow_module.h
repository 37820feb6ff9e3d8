// What the program uses of Arrow: objects at gs:// and s3://, and parquet files. The module with Arrow in it is loaded
// by the first call of arrow_module(), and only by that.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/file_store.h"

namespace fathom {

struct ArrowAbi;

// The loaded module, with its errors turned into exceptions. Thread-safe.
class ArrowModule {
 public:
  explicit ArrowModule(const ArrowAbi* abi) : abi_(abi) {}

  PathKind kind(const std::string& uri, int64_t* size) const;
  std::unique_ptr<const FileReader> open(const std::string& uri) const;
  std::vector<FolderEntry> list(const std::string& uri) const;
  std::unique_ptr<FileUpload> upload(const std::string& uri) const;
  void remove(const std::string& uri) const;
  const ArrowAbi& abi() const { return *abi_; }

 private:
  const ArrowAbi* abi_;
};

// Loads libfathom_arrow.so, which stands in `lib` beside or above the program, on the first call. Throws RuntimeFault
// naming where it looked, or the loader's reason.
const ArrowModule& arrow_module();
// Whether the first call has been made in this process.
bool arrow_module_loaded();

struct RowGroup {
  int64_t rows = 0;
  // Bytes of the column when decoded, as the file states them: dictionary pages make it a lower bound.
  int64_t bytes = 0;
};

// The values of a column in one row group: value i is bytes [ends[i - 1], ends[i]) of `text`; a list of numbers is the
// bytes of its int64s, a list of records is JSON.
struct TextColumn {
  std::string text;
  std::vector<int64_t> ends;

  std::vector<int64_t> nulls;  // rows without a value, rising

  int64_t rows() const { return static_cast<int64_t>(ends.size()); }
  bool is_null(int64_t i) const { return std::binary_search(nulls.begin(), nulls.end(), i); }
  std::string_view operator[](int64_t i) const {
    size_t row = static_cast<size_t>(i);
    int64_t begin = row == 0 ? 0 : ends[row - 1];
    return std::string_view{text}.substr(static_cast<size_t>(begin), static_cast<size_t>(ends[row] - begin));
  }
};

// What a column is to hold: text, lists of whole numbers, lists of records, or anything, which is given as JSON.
enum class ColumnKind : uint8_t { kText, kNumbers, kRecords, kJson };

// One open parquet file and one of its columns. Not for several threads at once.
class ParquetFile {
 public:
  // `path` is local, gs:// or s3://. Throws FormatError when the bytes are not parquet, when the footer is not of this
  // file, when there is no such column (naming those that exist) or when it holds something else.
  ParquetFile(std::string path, std::string column, ColumnKind kind = ColumnKind::kText);
  ~ParquetFile();
  ParquetFile(const ParquetFile&) = delete;
  ParquetFile& operator=(const ParquetFile&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<RowGroup>& row_groups() const { return groups_; }
  // Throws FormatError when the group cannot be decoded, or its pages are not what their checksums say.
  TextColumn read(int64_t group) const;

 private:
  void open();
  void check_layout() const;
  std::string path_;
  std::string column_name_;
  int32_t column_ = -1;
  ColumnKind kind_;
  void* handle_ = nullptr;
  std::vector<RowGroup> groups_;
};

}  // namespace fathom
