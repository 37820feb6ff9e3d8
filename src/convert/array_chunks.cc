#include "convert/array_chunks.h"

#include <algorithm>
#include <bit>

#include "base/scratch.h"
#include "base/strided_copy.h"

namespace fathom {
namespace {

// What is read at once of a slice: as much as stays in a core's cache until it is moved into the chunk, in whole grains
// of the source; cut along the slowest axis that has more than one grain. A power of two of them: where that axis
// becomes the fastest, each step then writes whole lines of the cache.
std::pair<size_t, int64_t> steps_of(const ArraySlice& slice, const std::vector<int64_t>& grain, int64_t width) {
  constexpr int64_t kBytes = int64_t{1} << 20;
  size_t axis = 0;
  while (axis + 1 < slice.sizes.size() && slice.sizes[axis] <= grain[axis]) ++axis;
  if (slice.sizes.empty()) return {0, 1};
  const int64_t bytes = slice.elements() / slice.sizes[axis] * grain[axis] * width;  // of one grain
  const auto grains = static_cast<uint64_t>(std::max<int64_t>(kBytes / std::max<int64_t>(bytes, 1), 1));
  return {axis, grain[axis] * static_cast<int64_t>(std::bit_floor(grains))};
}

}  // namespace

StoredArraySpec stored_array(const ChunkedArray& array) {
  return {.path = tree_path(array.place.name),
          .dtype = array.dtype,
          .sizes = array.place.sizes,
          .chunk = array.grid.chunk,
          .inner = array.grid.inner};
}

void add_chunks(size_t number, const ChunkedArray& array, std::vector<ArrayChunk>& chunks) {
  const std::vector<int64_t>&sizes = array.place.sizes, &chunk = array.grid.chunk;
  std::vector<int64_t> place(sizes.size());
  while (true) {
    ArrayChunk one{.array = number, .place = place, .start = {}, .sizes = {}};
    for (size_t i = 0; i < sizes.size(); ++i) {
      one.start.push_back(place[i] * chunk[i]);
      one.sizes.push_back(std::min(chunk[i], sizes[i] - one.start[i]));
    }
    chunks.push_back(std::move(one));
    size_t axis = sizes.size();
    while (axis > 0 && (place[axis - 1] + 1) * chunk[axis - 1] >= sizes[axis - 1]) place[--axis] = 0;
    if (axis == 0) return;
    ++place[axis - 1];
  }
}

ArraySlice slice_of(const ChunkedArray& array, const ArrayChunk& chunk) {
  ArraySlice out{std::vector<int64_t>(array.ours.size()), std::vector<int64_t>(array.ours.size())};
  for (size_t i = 0; i < chunk.start.size(); ++i) {
    const auto axis = static_cast<size_t>(array.place.axes[i]);
    out.start[axis] = chunk.start[i];
    out.sizes[axis] = chunk.sizes[i];
  }
  return out;
}

std::span<const std::byte> make_chunk(const ArraySource& source, const ChunkedArray& array, const ArrayChunk& chunk) {
  // Made once for all chunks of a thread: what of it nobody has used takes no memory.
  constexpr size_t kKeptBytes = size_t{64} << 20;
  thread_local Scratch part_memory, chunk_memory;
  const int64_t width = byte_size(array.dtype);
  const ArraySlice slice = slice_of(array, chunk);
  std::vector<int64_t> to(array.ours.size());  // strides in the chunk of our axes
  const std::vector<int64_t> strides = row_major_strides(array.grid.chunk);
  for (size_t i = 0; i < strides.size(); ++i) to[static_cast<size_t>(array.place.axes[i])] = strides[i];
  const auto bytes = static_cast<size_t>(element_count(array.grid.chunk) * width);
  std::byte* memory = chunk_memory.of(std::max(bytes, kKeptBytes));
  if (chunk.sizes != array.grid.chunk) std::fill_n(memory, bytes, std::byte{0});
  const auto [cut, step] = steps_of(slice, source.grain(array.index), width);
  const int64_t length = slice.sizes.empty() ? 1 : slice.sizes[cut];
  for (int64_t at = 0; at < length; at += step) {
    ArraySlice part = slice;
    if (!slice.sizes.empty()) {
      part.start[cut] += at;
      part.sizes[cut] = std::min(step, length - at);
    }
    std::byte* read = part_memory.of(static_cast<size_t>(part.elements() * width));
    const SliceMemory target{part, read};
    source.fill(array.index, {&target, 1});
    const std::vector<int64_t> from = row_major_strides(part.sizes);
    std::vector<StridedAxis> axes;
    for (size_t i = 0; i < to.size(); ++i) axes.push_back({part.sizes[i], from[i], to[i]});
    strided_copy(width, read, memory + (slice.sizes.empty() ? 0 : at * to[cut] * width), axes);
  }
  return {memory, bytes};
}

}  // namespace fathom
