// One safetensors file, written in parts that come in any order and from many threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "storage/file_store.h"

namespace fathom {

// A tensor that is going to be written.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes;
  std::string file = {};       // name in the folder
  std::string_view type = {};  // TensorInfo::type; empty: the one of dtype

  int64_t bytes() const;
};

// The layout is fixed at the beginning: the larger element types come first and the data begins at a multiple of 64
// bytes, so each tensor is aligned to its element.
class SafetensorsShard {
 public:
  // Only lays out; nothing is written. `metadata`: `__metadata__` of the file, left out when it is empty.
  SafetensorsShard(std::string path, std::vector<TensorSpec> tensors,
                   const std::map<std::string, std::string>& metadata);

  // Of the whole file.
  int64_t bytes() const { return static_cast<int64_t>(header_.size()) + data_bytes_; }

  enum class Found : uint8_t { kNothing, kOther, kCutShort, kWhole };
  // What carries the file's name already: a file with the same header, all of it or a part, or another one.
  Found found() const;

  // Makes the file under another name. Throws RuntimeFault when it cannot be written.
  void begin();
  // Bytes of a tensor from its byte `first` on. Thread-safe. Throws std::invalid_argument when the tensor was not
  // announced, or is written twice or past its end.
  void write(std::string_view name, int64_t first, std::span<const std::byte> bytes);
  // Throws std::logic_error naming the tensors that are not whole.
  void require_written() const;
  // Gives the file its name. Throws as require_written().
  void finish();

 private:
  struct Place {
    int64_t offset = 0, bytes = 0;  // in the file
    std::atomic<int64_t> written = 0;
  };

  std::string path_;
  std::string header_;
  int64_t data_bytes_ = 0;
  std::map<std::string, Place, std::less<>> places_;
  std::unique_ptr<FileInParts> file_;
};

}  // namespace fathom
