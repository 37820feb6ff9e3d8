// The weights of a model folder: model.safetensors, or shards with model.safetensors.index.json.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"

namespace fathom {

inline constexpr std::string_view kModelFile = "model.safetensors";
inline constexpr std::string_view kModelIndex = "model.safetensors.index.json";

// The index of a sharded model.
struct ShardIndex {
  std::map<std::string, std::string> weight_map;  // tensor -> file name in the folder
  // The rest of the index, as JSON text ("{}" when there is none): {"metadata": {"total_size": ...}}.
  std::string metadata = "{}";
};

// Throws FormatError naming the file (and the tensor) when it is not an index, or names a file outside of the folder.
ShardIndex read_shard_index(const std::string& path);

class TensorFolder {
 public:
  // Opens every shard and checks every header. Throws ConfigError when the path is no folder with weights, FormatError
  // when the index and the shards disagree (all missing shards, and all tensors that are listed but absent, in one
  // error) or when the folder holds a single file and an index that does not name it. Tensors that a shard holds but
  // the index does not list are not part of the model.
  static TensorFolder open(const std::string& path);

  // Whether the folder has model.safetensors or an index.
  static bool is_model_folder(const std::string& path);

  const std::string& path() const { return path_; }
  // Sorted.
  const std::vector<std::string>& names() const { return names_; }
  // Null when the model has no tensor of that name.
  const TensorInfo* find(std::string_view name) const;
  // See SafetensorsFile::tensor. Throws FormatError naming folder and tensor when it is absent.
  HostArray tensor(std::string_view name) const;
  // The file a tensor lies in, for messages and for converters that keep the shards. Throws as tensor() does.
  const SafetensorsFile& file_of(std::string_view name) const;

 private:
  std::string path_;
  std::vector<std::string> names_;
  std::map<std::string, std::shared_ptr<const SafetensorsFile>, std::less<>> tensors_;
};

}  // namespace fathom
