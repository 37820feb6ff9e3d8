// Writing safetensors: one file, or shards with an index. Nothing carries its final name before all of it is there.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/host_array.h"
#include "checkpoint/safetensors_shard.h"

namespace fathom {

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

// The layout is fixed at the beginning, so tensors may come in any order and are never held here.
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
  // RuntimeFault when the disk is full. Thread-safe.
  void write(std::string_view name, const HostArray& array);
  // A part of a tensor: the bytes from its byte `first` on. No part may come twice. Thread-safe.
  void write(std::string_view name, int64_t first, std::span<const std::byte> bytes);

  // Gives the files their names, the index last, and removes model.safetensors, shards and index of an earlier model in
  // the folder, which would make it ambiguous. Throws std::logic_error naming the tensors not written.
  void finish();

 private:
  struct Tensor {
    SafetensorsShard* shard = nullptr;
    TensorSpec spec;
  };
  const Tensor& tensor(std::string_view name) const;

  std::string folder_;
  SafetensorsWriterOptions options_;
  std::map<std::string, std::unique_ptr<SafetensorsShard>> shards_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

// One file with all of `tensors`; the path may have any name.
void write_safetensors(const std::string& path, const std::map<std::string, HostArray>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace fathom
