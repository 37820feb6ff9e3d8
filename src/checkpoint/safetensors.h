// A safetensors file: 8 bytes of header length, a JSON header, then the bytes of the tensors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/host_array.h"
#include "storage/file_store.h"

namespace fathom {

// safetensors' spelling of an element type: "F32", "BF16", "F8_E4M3", "I64", "BOOL".
std::string_view safetensors_name(DType dtype);
// The inverse; nothing for a spelling that has no DType.
std::optional<DType> parse_safetensors_name(std::string_view name);

// Headers longer than this are refused, as the format's own library does.
inline constexpr int64_t kMaxSafetensorsHeader = 100'000'000;

// Where a tensor lies in its file.
struct TensorInfo {
  DType dtype = DType::kF32;
  // The file's spelling of the type. Some types of one byte (F8_E8M0: exponents alone) are no DType: kU8 stands for
  // their bytes.
  std::string_view type = "F32";
  std::vector<int64_t> sizes;
  int64_t offset = 0;  // bytes from the beginning of the file
  int64_t bytes = 0;
};

class SafetensorsFile {
 public:
  // Reads and checks the header: its length, its JSON, no name twice, known element types, sizes that match the bytes,
  // and bytes that tile the file without hole or overlap. Throws FormatError with the path and the byte offset.
  static std::shared_ptr<const SafetensorsFile> open(const std::string& path);

  const std::string& path() const { return path_; }
  // In the order of their bytes in the file.
  const std::vector<std::string>& names() const { return names_; }
  // Null when the file has no tensor of that name.
  const TensorInfo* find(std::string_view name) const;
  // The tensor, read now. Throws FormatError naming file and tensor when it is absent, and as read() does.
  HostArray tensor(std::string_view name) const;
  // Fills `out` with bytes of the file from `offset` on (TensorInfo::offset is where a tensor begins). A file that was
  // cut short since it was opened is a FormatError. Thread-safe.
  void read(int64_t offset, std::span<std::byte> out) const { reader_->read(offset, out); }
  // The strings of the header's `__metadata__`.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  explicit SafetensorsFile(std::string path) : path_(std::move(path)) {}
  void read_header(std::string_view header, int64_t data_begin, int64_t file_size);
  // Fills tensors and metadata. False, and nothing filled, when the header is not as most are, or wrong.
  bool read_plain_header(std::string_view header);

  std::string path_;
  std::unique_ptr<const FileReader> reader_;
  std::vector<std::string> names_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace fathom
