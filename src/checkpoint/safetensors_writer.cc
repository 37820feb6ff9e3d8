#include "checkpoint/safetensors_writer.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/remote_path.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_folder.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Whether a reader of the folder would take the file for (part of) the model.
bool belongs_to_a_model(const std::string& name) {
  return name == kModelFile || name == kModelIndex ||
         (name.starts_with("model-") && name.ends_with(".safetensors") && name.find("-of-") != std::string::npos);
}

}  // namespace

bool plan_shards(std::vector<TensorSpec>& tensors, int64_t max_bytes) {
  std::vector<int> shard_of(tensors.size());
  int shard = 0;
  int64_t filled = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    int64_t bytes = tensors[i].bytes();
    if (filled > 0 && filled + bytes > max_bytes) {
      ++shard;
      filled = 0;
    }
    filled += bytes;
    shard_of[i] = shard;
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    tensors[i].file = shard == 0 ? std::string(kModelFile)
                                 : fmt::format("model-{:05}-of-{:05}.safetensors", shard_of[i] + 1, shard + 1);
  }
  return shard > 0;
}

SafetensorsWriter::SafetensorsWriter(std::string folder, std::vector<TensorSpec> tensors,
                                     SafetensorsWriterOptions options)
    : folder_(std::move(folder)), options_(std::move(options)) {
  if (is_remote(folder_)) {
    throw ConfigError(folder_ + ": safetensors are written to a local folder only; write there and copy the folder");
  }
  if (tensors.empty()) throw std::invalid_argument("no tensors to write");
  std::error_code fault;
  fs::create_directories(folder_.empty() ? "." : folder_, fault);
  if (fault) throw RuntimeFault(folder_ + ": cannot make the folder: " + fault.message());

  std::map<std::string, std::vector<TensorSpec>> by_file;
  for (TensorSpec& spec : tensors) {
    if (spec.file.empty()) throw std::invalid_argument("tensor '" + spec.name + "' has no file to go to");
    if (!tensors_.try_emplace(spec.name, Tensor{.spec = spec}).second) {
      throw std::invalid_argument("tensor '" + spec.name + "' is announced twice");
    }
    std::string file = spec.file;
    by_file[file].push_back(std::move(spec));
  }
  if (by_file.size() > 1 && !options_.index) throw std::invalid_argument("several files of tensors need an index");
  for (auto& [file, members] : by_file) {
    auto shard = std::make_unique<SafetensorsShard>(join_path(folder_, file), members, options_.metadata);
    shard->begin();
    for (const TensorSpec& spec : members) tensors_.find(spec.name)->second.shard = shard.get();
    shards_[file] = std::move(shard);
  }
}

SafetensorsWriter::~SafetensorsWriter() = default;

const SafetensorsWriter::Tensor& SafetensorsWriter::tensor(std::string_view name) const {
  auto it = tensors_.find(name);
  if (it == tensors_.end()) throw std::invalid_argument("tensor '" + std::string(name) + "' was not announced");
  return it->second;
}

void SafetensorsWriter::write(std::string_view name, const HostArray& array) {
  const TensorSpec& spec = tensor(name).spec;
  if (spec.dtype != array.dtype() || spec.sizes != array.sizes()) {
    throw std::invalid_argument(fmt::format("tensor '{}' was announced as {} [{}] and comes as {} [{}]", name,
                                            safetensors_name(spec.dtype), fmt::join(spec.sizes, ", "),
                                            safetensors_name(array.dtype()), fmt::join(array.sizes(), ", ")));
  }
  write(name, 0, {array.data(), static_cast<size_t>(array.bytes())});
}

void SafetensorsWriter::write(std::string_view name, int64_t first, std::span<const std::byte> bytes) {
  tensor(name).shard->write(name, first, bytes);
}

void SafetensorsWriter::finish() {
  Json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", Json::object()}};
  int64_t total_bytes = 0;
  for (const auto& [name, tensor] : tensors_) {
    index["weight_map"][name] = tensor.spec.file;
    total_bytes += tensor.spec.bytes();
  }
  index["metadata"]["total_size"] = total_bytes;
  for (const auto& [name, shard] : shards_) shard->require_written();

  // A folder is a model only with its index or its single file: those of an earlier model go first.
  std::vector<fs::path> stale;
  bool writes_a_model = options_.index;
  for (const auto& [name, shard] : shards_) writes_a_model = writes_a_model || belongs_to_a_model(name);
  for (const auto& entry : fs::directory_iterator(folder_.empty() ? "." : folder_)) {
    std::string name = entry.path().filename().string();
    if (writes_a_model && belongs_to_a_model(name) && !shards_.contains(name)) stale.push_back(entry.path());
  }
  std::error_code fault;
  for (const fs::path& path : stale) {
    if (!fs::remove(path, fault) && fault) throw RuntimeFault(path.string() + ": cannot remove: " + fault.message());
  }
  for (auto& [name, shard] : shards_) shard->finish();
  if (options_.index) write_file_atomically(join_path(folder_, kModelIndex), index.dump(2) + "\n");
}

void write_safetensors(const std::string& path, const std::map<std::string, HostArray>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::string file(base_name(path));
  std::vector<TensorSpec> specs;
  for (const auto& [name, array] : tensors) {
    specs.push_back({.name = name, .dtype = array.dtype(), .sizes = array.sizes(), .file = file});
  }
  std::string folder = fs::path(path).parent_path().string();
  SafetensorsWriter writer(folder.empty() ? "." : folder, std::move(specs), {.metadata = metadata});
  for (const auto& [name, array] : tensors) writer.write(name, array);
  writer.finish();
}

}  // namespace fathom
