#include "checkpoint/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
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

// Of the data in the file. 8 is what readers want for views; 64 is a cache line and what plugins take without a copy.
constexpr int64_t kDataAlignment = 64;

int64_t bytes_of(const TensorSpec& spec) {
  int64_t n = byte_size(spec.dtype);
  for (int64_t size : spec.sizes) n *= size;
  return n;
}

// The 8 bytes of length and the header, padded with spaces so that the data begins at a multiple of kDataAlignment.
// `tensors` are in the order of their data.
std::string header_of(const std::vector<const TensorSpec*>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  Json root = Json::object();
  if (!metadata.empty()) root["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorSpec* spec : tensors) {
    int64_t end = offset + bytes_of(*spec);
    root[spec->name] = {
        {"dtype", safetensors_name(spec->dtype)}, {"shape", spec->sizes}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string json = root.dump();
  constexpr size_t kLength = sizeof(uint64_t);
  while ((json.size() + kLength) % kDataAlignment != 0) json.push_back(' ');
  std::string out;
  append_little_endian(out, json.size(), kLength);
  return out + json;
}

// Whether a reader of the folder would take the file for (part of) the model.
bool belongs_to_a_model(const std::string& name) {
  return name == kModelFile || name == kModelIndex ||
         (name.starts_with("model-") && name.ends_with(".safetensors") && name.find("-of-") != std::string::npos);
}

}  // namespace

// A file under its temporary name.
struct SafetensorsWriter::File {
  std::string path;
  std::string temporary;
  int descriptor = -1;

  explicit File(std::string final_path)
      : path(std::move(final_path)), temporary(path + ".tmp" + std::to_string(::getpid())) {
    descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) fail();
  }
  ~File() {
    if (descriptor < 0) return;
    ::close(descriptor);
    ::unlink(temporary.c_str());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[noreturn]] void fail() const { throw RuntimeFault(path + ": cannot write: " + std::strerror(errno)); }

  void write(std::string_view bytes, int64_t offset) const {
    while (!bytes.empty()) {
      ssize_t n = ::pwrite(descriptor, bytes.data(), bytes.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail();
      bytes.remove_prefix(static_cast<size_t>(n));
      offset += n;
    }
  }

  // The bytes reach the disk before the name does, so a crash cannot leave the name on a hollow file.
  void rename() {
    if (::fsync(descriptor) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) fail();
    ::close(std::exchange(descriptor, -1));
  }
};

bool plan_shards(std::vector<TensorSpec>& tensors, int64_t max_bytes) {
  std::vector<int> shard_of(tensors.size());
  int shard = 0;
  int64_t filled = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    int64_t bytes = bytes_of(tensors[i]);
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

  std::map<std::string, std::vector<const TensorSpec*>> by_file;
  for (TensorSpec& spec : tensors) {
    if (spec.file.empty()) throw std::invalid_argument("tensor '" + spec.name + "' has no file to go to");
    std::string name = spec.name;
    auto [it, fresh] = places_.try_emplace(name, Place{.spec = std::move(spec)});
    if (!fresh) throw std::invalid_argument("tensor '" + name + "' is announced twice");
    by_file[it->second.spec.file].push_back(&it->second.spec);
  }
  if (by_file.size() > 1 && !options_.index) throw std::invalid_argument("several files of tensors need an index");
  for (auto& [name, members] : by_file) {
    files_[name] = std::make_unique<File>(join_path(folder_, name));
    open(*files_[name], std::move(members));
  }
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::open(File& file, std::vector<const TensorSpec*> tensors) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorSpec* a, const TensorSpec* b) { return byte_size(a->dtype) > byte_size(b->dtype); });
  std::string header = header_of(tensors, options_.metadata);
  file.write(header, 0);
  auto offset = static_cast<int64_t>(header.size());
  for (const TensorSpec* spec : tensors) {
    Place& place = places_.find(spec->name)->second;
    place.file = &file;
    place.offset = offset;
    offset += bytes_of(*spec);
    total_bytes_ += bytes_of(*spec);
  }
  if (::ftruncate(file.descriptor, offset) != 0) file.fail();
}

void SafetensorsWriter::write(std::string_view name, const HostArray& array) {
  auto it = places_.find(name);
  if (it == places_.end()) throw std::invalid_argument("tensor '" + std::string(name) + "' was not announced");
  Place& place = it->second;
  if (place.spec.dtype != array.dtype() || place.spec.sizes != array.sizes()) {
    throw std::invalid_argument(fmt::format("tensor '{}' was announced as {} [{}] and comes as {} [{}]", name,
                                            safetensors_name(place.spec.dtype), fmt::join(place.spec.sizes, ", "),
                                            safetensors_name(array.dtype()), fmt::join(array.sizes(), ", ")));
  }
  if (place.written) throw std::invalid_argument("tensor '" + std::string(name) + "' is written twice");
  std::string_view bytes(reinterpret_cast<const char*>(array.data()), static_cast<size_t>(array.bytes()));
  place.file->write(bytes, place.offset);
  place.written = true;
}

void SafetensorsWriter::finish() {
  Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", Json::object()}};
  std::vector<std::string> missing;
  for (const auto& [name, place] : places_) {
    if (!place.written) missing.push_back(name);
    index["weight_map"][name] = place.spec.file;
  }
  if (!missing.empty()) throw std::logic_error(fmt::format("tensors not written: {}", fmt::join(missing, ", ")));

  // A folder is a model only with its index or its single file: those of an earlier model go first.
  std::vector<fs::path> stale;
  bool writes_a_model = options_.index;
  for (const auto& [name, file] : files_) writes_a_model = writes_a_model || belongs_to_a_model(name);
  for (const auto& entry : fs::directory_iterator(folder_.empty() ? "." : folder_)) {
    std::string name = entry.path().filename().string();
    if (writes_a_model && belongs_to_a_model(name) && !files_.contains(name)) stale.push_back(entry.path());
  }
  std::error_code fault;
  for (const fs::path& path : stale) {
    if (!fs::remove(path, fault) && fault) throw RuntimeFault(path.string() + ": cannot remove: " + fault.message());
  }
  for (auto& [name, file] : files_) file->rename();
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
