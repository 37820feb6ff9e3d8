#include "convert/to_orbax.h"

#include <algorithm>
#include <sstream>

#include "base/parallel_for.h"
#include "base/scratch.h"
#include "base/strided_copy.h"
#include "checkpoint/orbax_writer.h"
#include "checkpoint/zarr_writer.h"
#include "convert/chunk_grid.h"
#include "convert/peer_places.h"

namespace fathom {
namespace {

// Each keeps a chunk and what is read of it; more would not be faster than a disk.
constexpr int kMostThreads = 16;

std::vector<std::string> path_of(const std::string& name) {
  std::vector<std::string> out;
  std::istringstream in(name);
  for (std::string part; std::getline(in, part, '.');) out.push_back(part);
  return out;
}

// One array of the checkpoint and what it is made of.
struct Written {
  size_t index = 0;  // of ours
  DType dtype = DType::kF32;
  std::vector<int64_t> ours;  // sizes
  PeerPlace place;
  ChunkGrid grid;
};

struct Task {
  size_t array = 0;                   // of the list, and of the writer
  std::vector<int64_t> place;         // of the chunk along each axis
  std::vector<int64_t> start, sizes;  // of what it holds of the array
};

std::vector<Written> arrays_to_write(const WantedWeights& wanted) {
  std::vector<Written> out;
  for (size_t i = 0; i < wanted.arrays.size(); ++i) {
    const ParamArray& array = wanted.arrays[i];
    const Param& row = wanted.table[array.row];
    for (PeerPlace& place : written_places(wanted.config, row, array, wanted.scan_axis)) {
      ChunkGrid grid = chunk_grid(row, array, place);
      out.push_back({i, array.type.dtype, array.type.shape.sizes(), std::move(place), std::move(grid)});
    }
  }
  return out;
}

// The chunks of an array in the order of its memory.
void add_tasks(size_t index, const Written& array, std::vector<Task>& tasks) {
  const std::vector<int64_t>&sizes = array.place.sizes, &chunk = array.grid.chunk;
  std::vector<int64_t> place(sizes.size());
  while (true) {
    Task task{.array = index, .place = place, .start = {}, .sizes = {}};
    for (size_t i = 0; i < sizes.size(); ++i) {
      task.start.push_back(place[i] * chunk[i]);
      task.sizes.push_back(std::min(chunk[i], sizes[i] - task.start[i]));
    }
    tasks.push_back(std::move(task));
    size_t axis = sizes.size();
    while (axis > 0 && (place[axis - 1] + 1) * chunk[axis - 1] >= sizes[axis - 1]) place[--axis] = 0;
    if (axis == 0) return;
    ++place[axis - 1];
  }
}

// What is read at once of a slice: as much as stays in a core's cache until it is moved into the chunk, in whole grains
// of the source; cut along the slowest axis that has more than one grain.
std::pair<size_t, int64_t> steps_of(const ArraySlice& slice, const std::vector<int64_t>& grain, int64_t width) {
  constexpr int64_t kBytes = int64_t{512} << 10;
  size_t axis = 0;
  while (axis + 1 < slice.sizes.size() && slice.sizes[axis] <= grain[axis]) ++axis;
  if (slice.sizes.empty()) return {0, 1};
  const int64_t bytes = slice.elements() / slice.sizes[axis] * grain[axis] * width;  // of one grain
  return {axis, grain[axis] * std::max<int64_t>(kBytes / std::max<int64_t>(bytes, 1), 1)};
}

// Fills the memory of a chunk with its part of our array, moved into the checkpoint's order of axes.
std::span<const std::byte> make_chunk(const WeightSource& source, const Written& array, const Task& task) {
  thread_local Scratch part_memory, chunk_memory;
  const int64_t width = byte_size(array.dtype);
  ArraySlice slice{std::vector<int64_t>(array.ours.size()), std::vector<int64_t>(array.ours.size())};
  std::vector<int64_t> to(array.ours.size());  // strides in the chunk of our axes
  const std::vector<int64_t> strides = row_major_strides(array.grid.chunk);
  for (size_t i = 0; i < task.start.size(); ++i) {
    const auto axis = static_cast<size_t>(array.place.axes[i]);
    slice.start[axis] = task.start[i];
    slice.sizes[axis] = task.sizes[i];
    to[axis] = strides[i];
  }
  const auto bytes = static_cast<size_t>(element_count(array.grid.chunk) * width);
  std::byte* chunk = chunk_memory.of(bytes);
  if (task.sizes != array.grid.chunk) std::fill_n(chunk, bytes, std::byte{0});
  const auto [cut, step] = steps_of(slice, source.grain(array.index), width);
  const int64_t length = slice.sizes.empty() ? 1 : slice.sizes[cut];
  for (int64_t at = 0; at < length; at += step) {
    ArraySlice part = slice;
    if (!slice.sizes.empty()) {
      part.start[cut] += at;
      part.sizes[cut] = std::min(step, length - at);
    }
    std::byte* memory = part_memory.of(static_cast<size_t>(part.elements() * width));
    const SliceMemory target{part, memory};
    source.fill(array.index, {&target, 1});
    const std::vector<int64_t> from = row_major_strides(part.sizes);
    std::vector<StridedAxis> axes;
    for (size_t i = 0; i < to.size(); ++i) axes.push_back({part.sizes[i], from[i], to[i]});
    strided_copy(width, memory, chunk + (slice.sizes.empty() ? 0 : at * to[cut] * width), axes);
  }
  return {chunk, bytes};
}

// Of all arrays, in the order of the list.
std::vector<Task> tasks_of(const std::vector<Written>& arrays) {
  std::vector<Task> out;
  for (size_t i = 0; i < arrays.size(); ++i) add_tasks(i, arrays[i], out);
  return out;
}

class Counter : public ByteSink {
 public:
  void append(std::string_view bytes) override { bytes_ += static_cast<int64_t>(bytes.size()); }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

// The first elements of a chunk, as a chunk of its own.
std::pair<Written, Task> beginning_of(const Written& array, const Task& task) {
  constexpr int64_t kElements = int64_t{1} << 17;
  std::pair<Written, Task> out{array, task};
  for (int64_t& size : out.second.sizes) {
    const int64_t others = element_count(out.second.sizes) / size;
    size = std::clamp<int64_t>(kElements / std::max<int64_t>(others, 1), 1, size);
  }
  out.first.grid.chunk = out.second.sizes;
  return out;
}

}  // namespace

int64_t estimated_orbax_bytes(const WeightSource& source, const WantedWeights& wanted, const ToOrbax& to) {
  constexpr int64_t kSamples = 24;
  const int64_t all = orbax_bytes(wanted);
  if (!to.compress) return all;
  const std::vector<Written> arrays = arrays_to_write(wanted);
  int64_t at = 0, tried = 0;
  ChunkEncoder encoder;
  Counter packed;
  for (const Task& task : tasks_of(arrays)) {
    const Written& array = arrays[task.array];
    const int64_t bytes = element_count(task.sizes) * byte_size(array.dtype);
    const bool sampled = at * kSamples / all != (at + bytes) * kSamples / all;
    at += bytes;
    if (!sampled) continue;
    const auto [part, sample] = beginning_of(array, task);
    const std::span<const std::byte> chunk = make_chunk(source, part, sample);
    const ZarrLayout layout{.dtype = array.dtype, .sizes = sample.sizes, .chunk = sample.sizes, .inner = sample.sizes};
    encoder.encode(layout, chunk, packed);
    tried += std::ssize(chunk);
  }
  const double ratio = tried == 0 ? 1 : static_cast<double>(packed.bytes()) / static_cast<double>(tried);
  constexpr double kMargin = 1.05;
  return static_cast<int64_t>(std::min(1.0, ratio * kMargin) * static_cast<double>(all));
}

int64_t orbax_bytes(const WantedWeights& wanted) {
  int64_t bytes = 0;
  for (const Written& array : arrays_to_write(wanted)) bytes += element_count(array.ours) * byte_size(array.dtype);
  return bytes;
}

void write_orbax(const WeightSource& source, const WantedWeights& wanted, const ToOrbax& to,
                 ConversionProgress& progress) {
  const std::vector<Written> arrays = arrays_to_write(wanted);
  const std::vector<Task> tasks = tasks_of(arrays);
  std::vector<StoredArraySpec> specs;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Written& a = arrays[i];
    specs.push_back({.path = path_of(a.place.name),
                     .dtype = a.dtype,
                     .sizes = a.place.sizes,
                     .chunk = a.grid.chunk,
                     .inner = to.zarr3 ? a.grid.inner : a.grid.chunk});
  }
  const size_t step = specs.size();
  specs.push_back({.path = {"step"}, .dtype = DType::kS64, .scalar = true});
  OrbaxWriter writer(to.step_folder, std::move(specs),
                     {.ocdbt = to.ocdbt,
                      .zarr3 = to.zarr3,
                      .compress = to.compress,
                      .scan_layers = wanted.config.scan_layers,
                      .source = to.source});
  source.warn_of_other_copies();  // reads a lot: whatever else may be wrong comes first
  const ThreadLimit threads(std::min(parallel_threads(), kMostThreads));
  parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    const Task& task = tasks[static_cast<size_t>(i)];
    const Written& array = arrays[task.array];
    const int64_t bytes = 2 * element_count(task.sizes) * byte_size(array.dtype);  // read and written
    if (writer.has(task.array, task.place)) return progress.keep(bytes);
    writer.write(task.array, task.place, make_chunk(source, array, task));
    progress.add(bytes);
  });
  constexpr int64_t kStep = 0;
  if (!writer.has(step, {})) writer.write(step, {}, std::as_bytes(std::span(&kStep, 1)));
  to.beside(writer.folder());
  writer.finish();
}

}  // namespace fathom
