#include "checkpoint/safetensors_folder.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"
#include "base/listed.h"
#include "base/parallel_for.h"
#include "checkpoint/plain_json.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

using Json = nlohmann::json;

constexpr size_t kListed = 8;  // names that a message lists

bool has_file(const std::string& folder, std::string_view name) {
  std::string path = join_path(folder, name);
  return file_store(path).kind(path) == PathKind::kFile;
}

// Opens the files of an index, each once.
std::map<std::string, std::shared_ptr<const SafetensorsFile>> open_shards(const std::string& folder,
                                                                          const ShardIndex& index) {
  std::map<std::string, std::shared_ptr<const SafetensorsFile>> shards;
  std::vector<std::string> missing;
  for (const auto& [tensor, file] : index.weight_map) {
    if (!shards.try_emplace(file).second || has_file(folder, file)) continue;
    missing.push_back(fmt::format("{} (of tensor '{}')", file, tensor));
  }
  if (!missing.empty()) {
    throw FormatError(join_path(folder, kModelIndex),
                      "the index names files that are not in the folder: " + listed(missing, kListed));
  }
  std::vector<std::pair<const std::string, std::shared_ptr<const SafetensorsFile>>*> all;
  for (auto& entry : shards) all.push_back(&entry);
  parallel_for(static_cast<int64_t>(all.size()), [&](int64_t i) {
    auto& [file, shard] = *all[static_cast<size_t>(i)];
    shard = SafetensorsFile::open(join_path(folder, file));
  });
  return shards;
}

// Whether a shard is a file of the folder itself.
bool is_file_name(std::string_view shard) {
  return !shard.empty() && shard != "." && shard != ".." && shard.find('/') == std::string_view::npos;
}

// An index as most are: metadata of texts and whole numbers, and the files of the tensors. False, and nothing filled,
// when it is another, or wrong.
bool read_plain_index(std::string_view text, ShardIndex& index) {
  PlainJson json(text);
  Json metadata = Json::object();
  bool has_files = false, has_metadata = false;
  const bool is_plain = json.object([&](std::string_view key) {
    if (key == "weight_map" && !std::exchange(has_files, true)) {
      return json.object([&](std::string_view tensor) {
        std::string_view file;
        if (!json.string(file) || !is_file_name(file)) return false;
        const size_t before = index.weight_map.size();
        index.weight_map.emplace_hint(index.weight_map.end(), tensor, file);  // most are sorted
        return index.weight_map.size() > before;
      });
    }
    if (key != "metadata" || std::exchange(has_metadata, true)) return false;
    metadata["metadata"] = Json::object();
    return json.object([&](std::string_view name) {
      Json& value = metadata["metadata"][std::string(name)];
      std::string_view said;
      int64_t number = 0;
      if (!value.is_null() || (!json.string(said) && !json.number(number))) return false;
      value = said.data() != nullptr ? Json(said) : Json(number);
      return true;
    });
  });
  if (is_plain && has_files && json.at_end()) {
    index.metadata = metadata.dump();
    return true;
  }
  index = {};
  return false;
}

}  // namespace

ShardIndex read_shard_index(const std::string& path) {
  ShardIndex index;
  try {
    const std::string file = file_store(path).read(path);
    if (read_plain_index(file, index)) return index;
    require_plain_json(path, file);
    Json root = Json::parse(file);
    if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object()) {
      throw FormatError(path, "no object \"weight_map\" in it: it is not the index of a sharded model");
    }
    for (const auto& [tensor, name] : root["weight_map"].items()) {
      if (!name.is_string()) throw FormatError(path, "the file of tensor '" + tensor + "' is not a string");
      const auto& shard = name.get_ref<const std::string&>();
      if (!is_file_name(shard)) {
        throw FormatError(path, "tensor '" + tensor + "' is in '" + shard + "', which is not a file name");
      }
      index.weight_map.emplace(tensor, shard);
    }
    root.erase("weight_map");
    index.metadata = root.dump();
  } catch (const Json::exception& e) {
    throw_json_mistake(path, e);
  }
  return index;
}

bool TensorFolder::is_model_folder(const std::string& path) {
  return has_file(path, kModelFile) || has_file(path, kModelIndex);
}

TensorFolder TensorFolder::open(const std::string& path) {
  TensorFolder folder;
  folder.path_ = path;
  bool single = has_file(path, kModelFile);
  if (has_file(path, kModelIndex)) {
    std::string index_path = join_path(path, kModelIndex);
    ShardIndex index = read_shard_index(index_path);
    auto shards = open_shards(path, index);
    if (single && !shards.contains(std::string(kModelFile))) {
      throw FormatError(path, fmt::format("it holds both {} and {}, which does not name it: which of them is the model "
                                          "is not clear; remove one",
                                          kModelFile, kModelIndex));
    }
    std::vector<std::string> absent;
    for (const auto& [tensor, file] : index.weight_map) {
      if (shards[file]->find(tensor) == nullptr) absent.push_back(fmt::format("'{}' (should be in {})", tensor, file));
      folder.names_.push_back(tensor);
      folder.tensors_.emplace_hint(folder.tensors_.end(), tensor, shards[file]);
    }
    if (!absent.empty()) {
      throw FormatError(index_path, "tensors that the index lists are not in their files: " + listed(absent, kListed));
    }
  } else if (single) {
    auto file = SafetensorsFile::open(join_path(path, kModelFile));
    for (const std::string& name : file->names()) folder.tensors_.emplace(name, file);
    for (const auto& [name, unused] : folder.tensors_) folder.names_.push_back(name);
  } else {
    bool exists = file_store(path).kind(path) == PathKind::kFolder;
    throw ConfigError(exists ? fmt::format("{}: neither {} nor {} is in this folder", path, kModelFile, kModelIndex)
                             : fmt::format("{}: no such folder", path));
  }
  return folder;
}

const TensorInfo* TensorFolder::find(std::string_view name) const {
  auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second->find(name);
}

HostArray TensorFolder::tensor(std::string_view name) const { return file_of(name).tensor(name); }

const SafetensorsFile& TensorFolder::file_of(std::string_view name) const {
  auto it = tensors_.find(name);
  if (it == tensors_.end()) throw FormatError(path_, "no tensor '" + std::string(name) + "'");
  return *it->second;
}

}  // namespace fathom
