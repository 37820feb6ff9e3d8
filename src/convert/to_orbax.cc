#include "convert/to_orbax.h"

#include <algorithm>

#include "base/parallel_for.h"
#include "checkpoint/orbax_writer.h"
#include "checkpoint/zarr_writer.h"
#include "convert/array_chunks.h"

namespace fathom {
namespace {

// Each keeps a chunk and what is read of it; more would not be faster than a disk.
constexpr int kMostThreads = 16;

std::vector<ChunkedArray> arrays_to_write(const WantedWeights& wanted) {
  std::vector<ChunkedArray> out;
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

// Of all arrays, in the order of the list.
std::vector<ArrayChunk> chunks_of(const std::vector<ChunkedArray>& arrays) {
  std::vector<ArrayChunk> out;
  for (size_t i = 0; i < arrays.size(); ++i) add_chunks(i, arrays[i], out);
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
std::pair<ChunkedArray, ArrayChunk> beginning_of(const ChunkedArray& array, const ArrayChunk& task) {
  constexpr int64_t kElements = int64_t{1} << 17;
  std::pair<ChunkedArray, ArrayChunk> out{array, task};
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
  const std::vector<ChunkedArray> arrays = arrays_to_write(wanted);
  int64_t at = 0, tried = 0;
  ChunkEncoder encoder;
  Counter packed;
  for (const ArrayChunk& task : chunks_of(arrays)) {
    const ChunkedArray& array = arrays[task.array];
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
  for (const ChunkedArray& array : arrays_to_write(wanted)) bytes += element_count(array.ours) * byte_size(array.dtype);
  return bytes;
}

void write_orbax(const WeightSource& source, const WantedWeights& wanted, const ToOrbax& to,
                 ConversionProgress& progress) {
  const std::vector<ChunkedArray> arrays = arrays_to_write(wanted);
  const std::vector<ArrayChunk> tasks = chunks_of(arrays);
  std::vector<StoredArraySpec> specs;
  for (const ChunkedArray& array : arrays) specs.push_back(stored_array(array));
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
    const ArrayChunk& task = tasks[static_cast<size_t>(i)];
    const ChunkedArray& array = arrays[task.array];
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
