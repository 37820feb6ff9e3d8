#include "convert/fp8_to_bf16.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "base/listed.h"
#include "base/log.h"
#include "base/parallel_for.h"
#include "base/remote_path.h"
#include "checkpoint/safetensors_folder.h"
#include "checkpoint/safetensors_shard.h"
#include "convert/folder_files.h"
#include "convert/quantized.h"
#include "convert/source_folder.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

// Elements (of a plain tensor: bytes) that a thread takes at once, and that it reads, converts and writes at a time:
// codes and numbers stay in a core's second cache. Over a network every read is a request.
constexpr int64_t kTask = int64_t{1} << 20, kStep = int64_t{1} << 17, kRemoteStep = int64_t{1} << 23;

// What stands in the header of a shard about the one it was made of.
constexpr const char* kSourceField = "fathom_source";

// A part of a tensor. `first` and `count` are elements of a quantized tensor, bytes of another.
struct Task {
  const std::string* name;
  const QuantizedTensor* quantized;
  const TensorInfo* info;
  int64_t first, count;
};

// One file of the output.
struct Shard {
  const SafetensorsFile* source = nullptr;
  std::vector<std::string> tensors = {};
  std::unique_ptr<SafetensorsShard> target = nullptr;
  bool whole = false;  // there already
  std::vector<Task> tasks = {};
  std::atomic<int64_t> next = 0, left = 0;  // the task that nobody has taken; those that have not ended
  int threads = 0;                          // that have come to it
};

// Tells two shards apart though their tensors have the same names and shapes: their headers and some of their bytes.
std::string fingerprint(const SafetensorsFile& file) {
  constexpr int64_t kPlaces = 16, kBytes = 4096;
  std::vector<std::string> parts;
  int64_t begin = 0, end = 0;
  for (const std::string& name : file.names()) {
    const TensorInfo& info = *file.find(name);
    parts.push_back(fmt::format("{} {} [{}] {}", name, info.type, fmt::join(info.sizes, ","), info.offset));
    if (end == 0) begin = info.offset;
    end = info.offset + info.bytes;
  }
  const int64_t step = std::max<int64_t>((end - begin) / kPlaces, 1);
  for (int64_t at = begin; at < end; at += step) {
    std::string bytes(static_cast<size_t>(std::min(kBytes, end - at)), '\0');
    file.read(at, std::as_writable_bytes(std::span(bytes)));
    parts.push_back(std::move(bytes));
  }
  return hash_of_parts(parts);
}

// Of config.json.
const ConfigChanges& without_quantization() {
  static const ConfigChanges changes = {{"quantization_config", ""}};
  return changes;
}

class Conversion {
 public:
  Conversion(const std::string& input, std::string output, const ConversionOptions& options)
      : limit_(options.threads), output_(std::move(output)), folder_(TensorFolder::open(input)), dequantizer_(folder_) {
    check_places(input);
    if (!dequantizer_.any()) {
      throw FormatError(input, "no tensor in it is quantized (float8 or FP4 with scales): there is nothing to convert");
    }
    plan();
    check_output();
  }

  void run() {
    require_free_space(output_, bytes_to_write());
    ConversionProgress progress("deepseek_fp8_to_bf16", bytes_to_move());
    if (!std::ranges::all_of(shards_, [](const auto& s) { return s.second.whole; })) {
      file_store(output_).remove(join_path(output_, kModelIndex));
    }
    copy_files({.from = folder_.path(),
                .to = output_,
                .changes = without_quantization(),
                .copied = [&](int64_t bytes) { progress.add(2 * bytes); }},
               files_);
    convert_all(progress);
    if (!index_.empty()) file_store(output_).write_atomically(join_path(output_, kModelIndex), index_);
    progress.finish();
    warn_of_nan();
  }

 private:
  void check_places(const std::string& input) const {
    if (file_store(output_).kind(output_) == PathKind::kFile) throw ConfigError(output_ + ": not a folder");
    require_other_place(input, output_);
  }

  void plan() {
    int64_t total_size = 0;
    Json weight_map = Json::object();
    for (const std::string& name : folder_.names()) {
      if (dequantizer_.is_scale(name)) continue;
      const SafetensorsFile& source = folder_.file_of(name);
      std::string file(base_name(source.path()));
      weight_map[name] = file;
      shards_[file].source = &source;
      total_size += spec_of(name).bytes();
    }
    for (auto& [name, shard] : shards_) {
      std::vector<TensorSpec> specs;
      std::vector<std::string> not_listed;
      for (const std::string& tensor : shard.source->names()) {
        if (folder_.find(tensor) == nullptr || &folder_.file_of(tensor) != shard.source) {
          not_listed.push_back(tensor);
        } else if (!dequantizer_.is_scale(tensor)) {
          shard.tensors.push_back(tensor);
          specs.push_back(spec_of(tensor));
        }
      }
      if (!not_listed.empty()) {
        log_warning("{}: the index does not list {} here: no part of the model, left out", shard.source->path(),
                    listed(not_listed, 4));
      }
      std::map<std::string, std::string> metadata = shard.source->metadata();
      metadata.try_emplace("format", "pt");
      metadata[kSourceField] = fingerprint(*shard.source);
      shard.target = std::make_unique<SafetensorsShard>(join_path(output_, name), std::move(specs), metadata);
    }
    const std::string index = join_path(folder_.path(), kModelIndex);
    if (file_store(index).kind(index) == PathKind::kFile) {
      Json root = Json::parse(read_shard_index(index).metadata);
      if (!root["metadata"].is_object()) root["metadata"] = Json::object();
      root["metadata"]["total_size"] = total_size;
      root["weight_map"] = std::move(weight_map);
      index_ = root.dump(2) + "\n";
    }
    files_ = files_beside_weights(folder_);
  }

  TensorSpec spec_of(const std::string& name) const {
    const TensorInfo& info = *folder_.find(name);
    const QuantizedTensor* quantized = dequantizer_.find(name);
    if (quantized != nullptr) return {.name = name, .dtype = DType::kBF16, .sizes = quantized->sizes()};
    return {.name = name, .dtype = info.dtype, .sizes = info.sizes, .file = {}, .type = info.type};
  }

  // What is there must be what this conversion would write, or a part of it.
  void check_output() {
    if (file_store(output_).kind(output_) != PathKind::kFolder) return;
    auto refuse = [&](const std::string& name) {
      throw ConfigError(
          fmt::format("{}: {} in it is of another model or conversion: name an empty folder", output_, name));
    };
    for (const FolderEntry& entry : file_store(output_).list(output_)) {
      const std::string path = join_path(output_, entry.name);
      auto shard = shards_.find(entry.name);
      if (shard != shards_.end()) {
        const SafetensorsShard::Found found = shard->second.target->found();
        if (found == SafetensorsShard::Found::kOther) refuse(entry.name);
        shard->second.whole = found == SafetensorsShard::Found::kWhole;
      } else if (entry.name == kModelIndex) {
        if (entry.is_folder || file_store(path).read(path) != index_) refuse(entry.name);
      } else if (entry.name == kModelConfig) {
        if (entry.is_folder || !is_our_config(file_store(path).read(path))) refuse(entry.name);
      } else if (entry.name.ends_with(".safetensors") && !std::ranges::count(files_, entry.name, &FolderFile::path)) {
        refuse(entry.name);
      }
    }
  }

  bool is_our_config(std::string_view text) const {
    if (!std::ranges::count(files_, kModelConfig, &FolderFile::path)) return false;
    const std::string path = join_path(folder_.path(), kModelConfig);
    const std::string source = file_store(path).read(path);
    return text == source || text == changed_config(path, source, without_quantization());
  }

  int64_t bytes_to_write() const {
    int64_t bytes = static_cast<int64_t>(index_.size());
    for (const auto& [name, shard] : shards_) bytes += shard.whole ? 0 : shard.target->bytes();
    for (const FolderFile& file : files_) {
      const std::string path = join_path(output_, file.path);
      if (!is_remote(path) && file_store(path).kind(path) == PathKind::kAbsent) bytes += file.bytes;
    }
    return bytes;
  }

  // Read and written.
  int64_t bytes_moved_for(const Shard& shard) const {
    int64_t bytes = 0;
    for (const std::string& name : shard.tensors) {
      const QuantizedTensor* quantized = dequantizer_.find(name);
      bytes += folder_.find(name)->bytes + spec_of(name).bytes();
      if (quantized != nullptr) bytes += quantized->scale_bytes();
    }
    return bytes;
  }
  int64_t bytes_to_move() const {
    int64_t bytes = 0;
    for (const auto& [name, shard] : shards_) bytes += bytes_moved_for(shard);
    for (const FolderFile& file : files_) bytes += 2 * file.bytes;
    return bytes;
  }

  std::vector<Task> tasks_of(const Shard& shard) const {
    std::vector<Task> out;
    for (const std::string& name : shard.tensors) {
      const QuantizedTensor* quantized = dequantizer_.find(name);
      const TensorInfo* info = folder_.find(name);
      const int64_t count = quantized != nullptr ? quantized->elements() : info->bytes;
      const int64_t size = is_remote(folder_.path()) ? kRemoteStep : kTask;
      for (int64_t at = 0; at < count; at += size) {
        out.push_back({&name, quantized, info, at, std::min(size, count - at)});
      }
    }
    return out;
  }

  // Each thread has a shard of its own as long as there are any: only one at a time can write to a file.
  void convert_all(ConversionProgress& progress) {
    for (auto& [name, shard] : shards_) {
      if (shard.whole) {
        progress.keep(bytes_moved_for(shard));
      } else {
        waiting_.push_back(&shard);
      }
    }
    std::atomic<bool> failed = false;
    parallel_for(parallel_threads(), [&](int64_t) {
      try {
        while (Shard* shard = failed ? nullptr : next_shard()) convert(*shard, failed, progress);
      } catch (...) {
        failed = true;
        throw;
      }
    });
  }

  // One that nobody has begun, unless many are under way; then the one with tasks left that fewest threads are at.
  Shard* next_shard() {
    constexpr size_t kMost = 8;  // under way, and lost when the process is killed
    const std::lock_guard lock(mutex_);
    std::erase_if(begun_, [](const Shard* shard) { return shard->next >= std::ssize(shard->tasks); });
    if (!waiting_.empty() && begun_.size() < kMost) {
      Shard* shard = waiting_.front();
      waiting_.pop_front();
      shard->tasks = tasks_of(*shard);
      shard->left = std::ssize(shard->tasks);
      shard->target->begin();
      if (shard->left == 0) shard->target->finish();
      begun_.push_back(shard);
    }
    if (begun_.empty()) return nullptr;
    Shard* shard = *std::ranges::min_element(begun_, {}, &Shard::threads);
    ++shard->threads;
    return shard;
  }

  // Takes its tasks until none is left.
  void convert(Shard& shard, const std::atomic<bool>& failed, ConversionProgress& progress) {
    for (int64_t i = shard.next++; i < std::ssize(shard.tasks) && !failed; i = shard.next++) {
      convert(shard, shard.tasks[static_cast<size_t>(i)], progress);
      if (--shard.left == 0) shard.target->finish();
    }
  }

  void convert(Shard& shard, const Task& task, ConversionProgress& progress) {
    thread_local std::vector<uint16_t> numbers;
    const int64_t step = is_remote(folder_.path()) ? kRemoteStep : kStep;
    if (task.quantized != nullptr && task.first == 0) progress.add(task.quantized->scale_bytes());
    for (int64_t at = task.first, end = task.first + task.count; at < end; at += step) {
      const int64_t count = std::min(step, end - at);
      numbers.resize(static_cast<size_t>(count));  // of a plain tensor, twice what its bytes need
      const std::span<std::byte> bytes = std::as_writable_bytes(std::span(numbers));
      if (task.quantized != nullptr) {
        const NanNumbers nan = task.quantized->read(at, numbers);
        if (nan.codes > 0) nan_codes_ += nan.codes;
        if (nan.scaled > 0) nan_scaled_ += nan.scaled;
        shard.target->write(*task.name, at * 2, bytes);
        progress.add(count * task.info->bytes / task.quantized->elements() + count * 2);
      } else {
        const std::span<std::byte> part = bytes.first(static_cast<size_t>(count));
        shard.source->read(task.info->offset + at, part);
        shard.target->write(*task.name, at, part);
        progress.add(count * 2);
      }
    }
  }

  void warn_of_nan() const {
    if (nan_codes_ == 0 && nan_scaled_ == 0) return;
    std::string text = fmt::format("{}: {} codes are NaN", folder_.path(), nan_codes_.load());
    if (nan_scaled_ > 0) text += fmt::format(", {} more numbers are for their scale", nan_scaled_.load());
    log_warning("{}; they are quiet NaN in {}", text, output_);
  }

  ThreadLimit limit_;
  std::string output_;
  TensorFolder folder_;
  Dequantizer dequantizer_;
  std::map<std::string, Shard> shards_;  // by name
  std::vector<FolderFile> files_;
  std::mutex mutex_;
  std::deque<Shard*> waiting_;
  std::vector<Shard*> begun_;
  std::string index_;  // text of the output's; empty when there is none
  std::atomic<int64_t> nan_codes_ = 0, nan_scaled_ = 0;
};

}  // namespace

void convert_fp8_to_bf16(const std::string& input, const std::string& output, const ConversionOptions& options) {
  Conversion(input, output, options).run();
}

}  // namespace fathom
