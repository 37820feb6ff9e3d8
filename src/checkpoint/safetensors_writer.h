// Writing safetensors: one file, or shards with an index. Nothing carries its final name before all of it is there.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/host_array.h"

namespace fathom {

// A tensor that is going to be written.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes;
  std::string file = {};  // name in the folder
};

struct SafetensorsWriterOptions {
  // `__metadata__` of every file.
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  // Write model.safetensors.index.json; without it, all tensors must be in one file.
  bool index = false;
};

// Fills in `file`, in order, so that no file holds more than `max_bytes` of data (a larger tensor has a file of its
// own): model.safetensors when one file is enough, else model-00001-of-00002.safetensors and so on. Returns whether the
// model needs an index.
bool plan_shards(std::vector<TensorSpec>& tensors, int64_t max_bytes);

// The layout is fixed at the beginning, so tensors may come in any order and are never held here. Within a file the
// larger element types come first and the data begins at a multiple of 64 bytes, so each tensor is aligned to its
// element. Not thread-safe.
class SafetensorsWriter {
 public:
  // Makes the folder and the files under temporary names. Throws std::invalid_argument when there are no tensors, two
  // share a name or a file name is empty, ConfigError when the folder is not local, RuntimeFault when a file cannot be
  // written.
  SafetensorsWriter(std::string folder, std::vector<TensorSpec> tensors, SafetensorsWriterOptions options = {});
  // Removes what was written when finish() was not called.
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // Throws std::invalid_argument when the tensor was not announced, differs from its announcement, or comes twice;
  // RuntimeFault when the disk is full.
  void write(std::string_view name, const HostArray& array);

  // Gives the files their names, the index last, and removes model.safetensors, shards and index of an earlier model in
  // the folder, which would make it ambiguous. Throws std::logic_error naming the tensors not written.
  void finish();

 private:
  struct File;
  struct Place {
    File* file = nullptr;
    int64_t offset = 0;  // from the beginning of the file
    bool written = false;
    TensorSpec spec;
  };
  void open(File& file, std::vector<const TensorSpec*> tensors);

  std::string folder_;
  SafetensorsWriterOptions options_;
  std::map<std::string, std::unique_ptr<File>> files_;
  std::map<std::string, Place, std::less<>> places_;
  int64_t total_bytes_ = 0;
};

// One file with all of `tensors`; the path may have any name.
void write_safetensors(const std::string& path, const std::map<std::string, HostArray>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace fathom
