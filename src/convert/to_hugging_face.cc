#include "convert/to_hugging_face.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/error.h"
#include "base/parallel_for.h"
#include "base/scratch.h"
#include "base/strided_copy.h"
#include "checkpoint/safetensors_folder.h"
#include "checkpoint/safetensors_writer.h"
#include "convert/byte_budget.h"
#include "convert/hf_weights.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

constexpr int64_t kShardBytes = 5'000'000'000;
// A task is made as large as this where the chunks of the source are smaller: it stays in a cache until it is written.
constexpr int64_t kTaskBytes = int64_t{2} << 20;
// Larger ones are cut, though what is cut smaller than the chunks is read several times.
constexpr int64_t kMostTaskBytes = int64_t{1} << 30;
// What a thread keeps from one task to the next: what of it nobody has used takes no memory.
constexpr int64_t kKeptBytes = int64_t{128} << 20;
constexpr int64_t kMemory = int64_t{2} << 30;

// A shard that is begun when its first part comes and gets its name with the last.
class Shard {
 public:
  Shard(const std::string& path, std::vector<TensorSpec> tensors, const std::string& source)
      : shard_(path, tensors, {{"format", "pt"}, {"fathom_source", source}}), found_(shard_.found()) {
    for (const TensorSpec& t : tensors) left_ += t.bytes();
  }
  bool whole() const { return found_ == SafetensorsShard::Found::kWhole; }
  bool of_another() const { return found_ == SafetensorsShard::Found::kOther; }
  int64_t bytes() const { return shard_.bytes(); }
  void write(std::string_view tensor, int64_t first, std::span<const std::byte> bytes) {
    std::call_once(begun_, [&] { shard_.begin(); });
    shard_.write(tensor, first, bytes);
    if (left_.fetch_sub(static_cast<int64_t>(bytes.size())) == static_cast<int64_t>(bytes.size())) shard_.finish();
  }

 private:
  SafetensorsShard shard_;
  const SafetensorsShard::Found found_;
  std::once_flag begun_;
  std::atomic<int64_t> left_ = 0;
};

// A box of one of our arrays, of whole chunks of the source where that is possible.
struct Task {
  size_t array = 0;
  ArraySlice box;
  size_t order = 0;  // of the first tensor that it goes to
};

// In an order in which so many threads are in different parts of the list, and so write different files: of one file
// the system lets one thread write at a time.
std::vector<Task> for_threads(std::vector<Task> tasks, size_t threads) {
  std::vector<Task> out;
  const size_t each = (tasks.size() + threads - 1) / threads;
  for (size_t i = 0; i < each; ++i) {
    for (size_t at = i; at < tasks.size(); at += each) out.push_back(std::move(tasks[at]));
  }
  return out;
}

// Where the elements of one layer and expert stand: the tensors that hold them, and their places in our array.
struct Matrix {
  std::vector<std::string> tensors;
  int64_t offset = 0, elements = 0;
};

}  // namespace

class ToHuggingFace::Plan {
 public:
  Plan(const WantedWeights& wanted, std::string folder, const std::string& source)
      : wanted_(wanted), folder_(std::move(folder)), specs_(hugging_face_tensors(wanted)) {
    std::map<std::string, std::vector<TensorSpec>> files;
    for (size_t i = 0; i < specs_.size(); ++i) {
      files[specs_[i].file].push_back(specs_[i]);
      order_.emplace(specs_[i].name, i);
    }
    for (auto& [name, tensors] : files) {
      shards_.emplace(name, std::make_unique<Shard>(join_path(folder_, name), std::move(tensors), source));
    }
    for (const ParamArray& array : wanted.arrays) {
      parts_.push_back(hf_parts(wanted.config, wanted.table[array.row], array));
    }
    check_folder();
  }

  int64_t bytes() const {
    int64_t out = 0;
    for (const TensorSpec& spec : specs_) out += spec.bytes();
    return out;
  }
  int64_t bytes_to_write() const {
    int64_t out = 0;
    for (const auto& [name, shard] : shards_) out += shard->whole() ? 0 : shard->bytes();
    return out;
  }

  void write(const WeightSource& source, ConversionProgress& progress) {
    const bool all_whole = std::ranges::all_of(shards_, [](const auto& s) { return s.second->whole(); });
    if (!all_whole) file_store(folder_).remove(join_path(folder_, kModelIndex));
    source.warn_of_other_copies();
    std::vector<Task> tasks;
    for (size_t i = 0; i < wanted_.arrays.size(); ++i) add_tasks(source, i, tasks);
    // File by file. Of a file the largest boxes first: threads that wait for each other to write it take turns where
    // their boxes are alike, and none is left with a large one at the end.
    std::ranges::stable_sort(tasks, {}, [&](const Task& task) {
      const int64_t bytes = task.box.elements() * byte_size(wanted_.arrays[task.array].type.dtype);
      return std::tuple(std::string_view(specs_[task.order].file), -bytes, task.order);
    });
    tasks = for_threads(std::move(tasks), std::min<size_t>(static_cast<size_t>(parallel_threads()), shards_.size()));
    parallel_for(static_cast<int64_t>(tasks.size()),
                 [&](int64_t i) { move(source, tasks[static_cast<size_t>(i)], progress); });
  }

  void write_index() const {
    if (specs_.front().file == kModelFile) return;
    nlohmann::ordered_json index = {{"metadata", {{"total_size", bytes()}}}};
    for (const TensorSpec& spec : specs_) index["weight_map"][spec.name] = spec.file;
    file_store(folder_).write_atomically(join_path(folder_, kModelIndex), index.dump(2) + "\n");
  }

 private:
  void check_folder() const {
    if (file_store(folder_).kind(folder_) == PathKind::kAbsent) return;
    for (const FolderEntry& entry : file_store(folder_).list(folder_)) {
      if (!entry.name.ends_with(".safetensors")) continue;
      auto shard = shards_.find(entry.name);
      if (shard != shards_.end() && !shard->second->of_another()) continue;
      throw ConfigError(
          fmt::format("{}: {} in it is of another model or conversion: name an empty folder", folder_, entry.name));
    }
  }

  size_t leading(size_t index) const {
    const ParamArray& array = wanted_.arrays[index];
    return axes_of_parts(wanted_.table[array.row], array);
  }

  // The matrix at the beginning of a box that holds one layer and expert.
  Matrix matrix_at(size_t index, const ArraySlice& box) const {
    const ParamArray& array = wanted_.arrays[index];
    const Param& row = wanted_.table[array.row];
    const std::vector<int64_t> sizes = array.type.shape.sizes();
    const size_t axes = leading(index);
    int64_t number = 0;
    for (size_t i = 0; i < axes; ++i) number = number * sizes[i] + box.start[i];
    const HfPart& part = parts_[index][static_cast<size_t>(number)];
    Matrix out{.tensors = {part.name}, .offset = part.offset, .elements = part.elements};
    out.tensors.insert(out.tensors.end(), row.hf_copies.begin(), row.hf_copies.end());
    return out;
  }

  void add_tasks(const WeightSource& source, size_t index, std::vector<Task>& tasks) const {
    const std::vector<int64_t> sizes = wanted_.arrays[index].type.shape.sizes();
    const std::vector<int64_t> step = task_sizes(source, index);
    ArraySlice box{std::vector<int64_t>(sizes.size()), sizes};
    while (true) {
      for (size_t i = 0; i < sizes.size(); ++i) box.sizes[i] = std::min(step[i], sizes[i] - box.start[i]);
      const Matrix first = matrix_at(index, box);
      tasks.push_back({index, box, order_.at(first.tensors[0])});
      size_t axis = sizes.size();
      while (axis > 0 && box.start[axis - 1] + step[axis - 1] >= sizes[axis - 1]) box.start[--axis] = 0;
      if (axis == 0) return;
      box.start[axis - 1] += step[axis - 1];
    }
  }

  // Whole chunks of the source along the axes of layers, experts and rows, and all of the others.
  std::vector<int64_t> task_sizes(const WeightSource& source, size_t index) const {
    const std::vector<int64_t> sizes = wanted_.arrays[index].type.shape.sizes();
    const std::vector<int64_t> grain = source.grain(index);
    const size_t rows = leading(index);  // the axis of rows
    std::vector<int64_t> out = sizes;
    for (size_t i = 0; i < sizes.size() && i <= rows; ++i) out[i] = grain[i];
    auto bytes = [&] { return element_count(out) * byte_size(wanted_.arrays[index].type.dtype); };
    // From the slowest axis on: what is cut smaller than the chunks is read several times.
    for (size_t i = 0; i < sizes.size() && i <= rows; ++i) {
      while (out[i] > 1 && bytes() > kMostTaskBytes) out[i] = (out[i] + 1) / 2;
    }
    if (rows >= sizes.size()) return out;
    const int64_t unit = out[rows];
    while (out[rows] < sizes[rows] && bytes() < kTaskBytes) out[rows] = std::min(out[rows] + unit, sizes[rows]);
    return out;
  }

  // Calls f(box of one layer and expert) for a task's box.
  template <class F>
  void for_each_matrix(const Task& task, F f) const {
    const size_t axes = leading(task.array);
    ArraySlice one = task.box;
    for (size_t i = 0; i < axes; ++i) one.sizes[i] = 1;
    const int64_t count = element_count(std::span(task.box.sizes).first(axes));
    for (int64_t k = 0; k < count; ++k) {
      int64_t rest = k;
      for (size_t i = axes; i-- > 0; rest /= task.box.sizes[i]) {
        one.start[i] = task.box.start[i] + rest % task.box.sizes[i];
      }
      f(one);
    }
  }

  Shard& shard_of(const std::string& tensor) const { return *shards_.at(specs_[order_.at(tensor)].file); }

  void move(const WeightSource& source, const Task& task, ConversionProgress& progress) {
    const DType dtype = wanted_.arrays[task.array].type.dtype;
    const int64_t bytes = task.box.elements() * byte_size(dtype);
    bool all_whole = true;
    for_each_matrix(task, [&](const ArraySlice& one) {
      for (const std::string& tensor : matrix_at(task.array, one).tensors) {
        all_whole = all_whole && shard_of(tensor).whole();
      }
    });
    if (all_whole) return progress.keep(2 * bytes);
    ByteBudget::Share share(memory_, bytes);
    thread_local Scratch kept;
    Scratch own;  // of a large task
    std::byte* data = bytes > kKeptBytes ? own.of(static_cast<size_t>(bytes)) : kept.of(kKeptBytes);
    const SliceMemory memory{task.box, data};
    source.fill(task.array, {&memory, 1});
    for_each_matrix(task, [&](const ArraySlice& one) {
      write(task.array, one, {data, static_cast<size_t>(one.elements() * byte_size(dtype))});
      data += one.elements() * byte_size(dtype);
    });
    progress.add(2 * bytes);
  }

  // The elements of a box of one layer and expert: whole rows, which stand in one piece in the tensor.
  void write(size_t index, const ArraySlice& one, std::span<const std::byte> bytes) const {
    const ParamArray& array = wanted_.arrays[index];
    const std::vector<int64_t> strides = row_major_strides(array.type.shape.sizes());
    const Matrix matrix = matrix_at(index, one);
    int64_t first = -matrix.offset;
    for (size_t i = 0; i < strides.size(); ++i) first += one.start[i] * strides[i];
    for (const std::string& tensor : matrix.tensors) {
      Shard& shard = shard_of(tensor);
      if (!shard.whole()) shard.write(tensor, first * byte_size(array.type.dtype), bytes);
    }
  }

  const WantedWeights& wanted_;
  const std::string folder_;
  const std::vector<TensorSpec> specs_;
  std::map<std::string, size_t, std::less<>> order_;  // tensor -> its index in specs_
  std::map<std::string, std::unique_ptr<Shard>> shards_;
  std::vector<std::vector<HfPart>> parts_;  // of each array, in the order of its memory
  ByteBudget memory_{kMemory};
};

ToHuggingFace::ToHuggingFace(const WantedWeights& wanted, std::string folder, const std::string& source)
    : plan_(std::make_unique<Plan>(wanted, std::move(folder), source)) {}
ToHuggingFace::~ToHuggingFace() = default;
int64_t ToHuggingFace::bytes() const { return plan_->bytes(); }
int64_t ToHuggingFace::bytes_to_write() const { return plan_->bytes_to_write(); }
void ToHuggingFace::write(const WeightSource& source, ConversionProgress& progress) { plan_->write(source, progress); }
void ToHuggingFace::write_index() const { plan_->write_index(); }

std::vector<ParamArray> hugging_face_arrays(const ModelConfig& config, const std::vector<Param>& table, DType dtype) {
  std::vector<ParamArray> out = param_arrays(config, table);
  for (ParamArray& array : out) array.type.dtype = table[array.row].hf_float32 ? DType::kF32 : dtype;
  return out;
}

std::vector<TensorSpec> hugging_face_tensors(const WantedWeights& wanted) {
  std::map<std::pair<int64_t, size_t>, std::vector<TensorSpec>> by_layer;  // (layer, row)
  const std::vector<Stack> all = stacks(wanted.config);
  for (const ParamArray& array : wanted.arrays) {
    const Param& row = wanted.table[array.row];
    auto spec = [&](const std::string& name) {
      return TensorSpec{.name = name, .dtype = array.type.dtype, .sizes = row.hf_sizes};
    };
    const std::vector<HfPart> parts = hf_parts(wanted.config, row, array);
    const int64_t layers = row.stack && array.layer < 0 ? all[*row.stack].count : 1;
    const size_t each = parts.size() / static_cast<size_t>(layers);
    for (size_t i = 0; i < parts.size(); ++i) {
      int64_t layer = array.row == 0 ? -1 : wanted.config.layers + wanted.config.prediction_layers;
      if (row.stack) {
        layer = all[*row.stack].first + std::max<int64_t>(array.layer, 0) + static_cast<int64_t>(i / each);
      }
      by_layer[{layer, array.row}].push_back(spec(parts[i].name));
    }
    // Copies belong to the modules for prediction, behind all layers.
    for (const std::string& copy : row.hf_copies) by_layer[{wanted.config.layers, array.row}].push_back(spec(copy));
  }
  std::vector<TensorSpec> out;
  for (auto& [place, specs] : by_layer) out.insert(out.end(), specs.begin(), specs.end());
  plan_shards(out, kShardBytes);
  return out;
}

}  // namespace fathom
