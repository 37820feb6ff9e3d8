// What a model folder holds beside its weights: config.json, the tokenizer, code, pages.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors_folder.h"

namespace fathom {

inline constexpr std::string_view kModelConfig = "config.json";

struct FolderFile {
  std::string path;  // from the folder on: "encoding/encoding_dsv32.py"
  int64_t bytes = 0;
};

// The files of a model folder and of the folders in it, sorted, without the weights and their index, the folders .git
// and .cache, and what is neither file nor folder. Local, gs:// or s3://.
std::vector<FolderFile> files_beside_weights(const TensorFolder& folder);

// Fields of config.json to set, as JSON text ("1", "\"bfloat16\""); an empty text removes the field.
using ConfigChanges = std::map<std::string, std::string>;

// The text of a config.json with changed fields, the others in their order; the same bytes where nothing changes.
// Throws FormatError naming `path` when it is no JSON object.
std::string changed_config(const std::string& path, std::string_view text, const ConfigChanges& changes);

struct FolderCopy {
  std::string from, to;
  ConfigChanges changes = {};                // of config.json at the top
  std::function<void(int64_t)> copied = {};  // told of the bytes written
};

// Copies files byte for byte, each under its name only when it is whole; one that is there with the same bytes stays.
// Memory: a megabyte. `to` need not be there. Throws RuntimeFault when a file cannot be written.
void copy_files(const FolderCopy& copy, const std::vector<FolderFile>& files);

}  // namespace fathom
