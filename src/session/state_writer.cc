#include "session/state_writer.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/huge_pages.h"
#include "base/parallel_for.h"
#include "base/strided_copy.h"
#include "runtime/mesh_slice.h"
#include "session/state_places.h"

namespace fathom {
namespace {

constexpr size_t kMostAxes = 8;  // of any array

// The largest divisor of a size that is no larger than `most`.
int64_t divisor_up_to(int64_t size, int64_t most) {
  for (int64_t part = std::min(size, most); part > 1; --part) {
    if (size % part == 0) return part;
  }
  return 1;
}

// Cuts a grid further, so that no chunk lies on two shards.
ChunkGrid within_shards(ChunkGrid grid, const PeerPlace& place, const std::vector<int64_t>& shard) {
  for (size_t i = 0; i < grid.chunk.size(); ++i) {
    const int64_t size = shard[static_cast<size_t>(place.axes[i])];
    if (size == place.sizes[i]) continue;  // not split
    grid.chunk[i] = divisor_up_to(size, grid.chunk[i]);
    grid.inner[i] = std::gcd(grid.inner[i], grid.chunk[i]);
  }
  return grid;
}

ChunkedArray chunked(const StateSpec& spec, const StateEntry& entry, size_t index, PeerPlace place) {
  ParamArray array = spec.arrays[entry.array];
  array.type = entry.type;
  const std::vector<int64_t> sizes = entry.type.shape.sizes();
  const Mesh mesh = spec.partition ? spec.partition->mesh() : Mesh{};
  ChunkGrid grid =
      within_shards(chunk_grid(spec.param(entry), array, place), place, slice_at(sizes, entry.sharding, mesh, 0).sizes);
  return {.index = index, .dtype = entry.type.dtype, .ours = sizes, .place = std::move(place), .grid = std::move(grid)};
}

std::vector<ChunkedArray> arrays_to_write(const Config& config, const StateSpec& spec) {
  const StatePlaces places(spec, config);
  std::vector<ChunkedArray> out;
  for (size_t i = 0; i < spec.entries.size(); ++i) {
    const StateEntry& entry = spec.entries[i];
    if (entry.role == StateRole::kCounter) continue;
    for (PeerPlace& place : places.written(entry)) out.push_back(chunked(spec, entry, i, std::move(place)));
  }
  for (auto& [entry, place] : places.zero_moments()) {
    out.push_back(chunked(spec, entry, spec.entries.size(), std::move(place)));
  }
  for (const std::string& counter : places.written_counters()) {
    out.push_back({.index = spec.index("step"), .dtype = DType::kS32, .ours = {}, .place = {.name = counter}});
  }
  return out;
}

OrbaxPlan plan_of(const Config& config, const StateSpec& spec, const std::vector<ChunkedArray>& arrays) {
  const StatePlaces places(spec, config);
  std::vector<StoredArraySpec> specs;
  for (const ChunkedArray& array : arrays) specs.push_back(stored_array(array));
  return {std::move(specs),
          {.ocdbt = config.checkpoint_storage_use_ocdbt,
           .zarr3 = config.checkpoint_storage_use_zarr3,
           // Numbers in training hardly shrink, and the devices would wait for the cores.
           .compress = false,
           .checksum = true,
           .scan_layers = spec.model.scan_layers,
           .empty = {},
           .none = places.none(),
           .lists = places.lists(),
           .data_file_bytes = config.checkpoint_storage_target_data_file_size_bytes}};
}

bool contains(const ArraySlice& box, const ArraySlice& part) {
  for (size_t i = 0; i < box.start.size(); ++i) {
    if (part.start[i] < box.start[i] || part.start[i] + part.sizes[i] > box.start[i] + box.sizes[i]) return false;
  }
  return true;
}

}  // namespace

StateWriter::StateWriter(const Config& config, const StateSpec& spec, StepShare share)
    : spec_(spec),
      share_(share),
      arrays_(arrays_to_write(config, spec)),
      plan_(plan_of(config, spec, arrays_)),
      held_(spec.entries.size()) {
  for (const ChunkedArray& array : arrays_) bytes_ += element_count(array.ours) * byte_size(array.dtype);
}

void StateWriter::reserve(State& state) {
  for (size_t i = 0; i < held_.size(); ++i) {
    const ShardedArray& array = state[i];
    held_[i].clear();
    for (size_t shard : array.first_copies()) {
      Held& held = held_[i].emplace_back();
      held.slice = array.slice(shard);
      held.shard = shard;
      held.memory = HostArray::allocate(array.layout().dtype, held.slice.sizes);
      prefer_huge_pages(held.memory.mutable_data(), static_cast<size_t>(held.memory.bytes()));
    }
  }
  reserved_ = true;
}

void StateWriter::touch() {
  constexpr int64_t kPage = 4096;
  for (std::vector<Held>& entry : held_) {
    for (Held& held : entry) {
      for (int64_t at = 0; at < held.memory.bytes(); at += kPage) held.memory.mutable_data()[at] = std::byte{0};
    }
  }
}

int64_t StateWriter::copy_out(State& state) {
  if (!reserved_) reserve(state);
  int64_t bytes = 0;
  std::vector<HostCopy> copies;
  for (size_t i = 0; i < held_.size(); ++i) {
    for (const Held& held : held_[i]) {
      copies.push_back(state[i].shards()[held.shard].to_host_async(held.memory));
      bytes += held.memory.bytes();
    }
  }
  for (const HostCopy& copy : copies) copy.done.await();
  return bytes;
}

void StateWriter::hold(State& state) {
  if (state[0].assignment()->client()->platform() != "cpu") {
    copy_out(state);
    return;
  }
  let_go();
  for (size_t i = 0; i < held_.size(); ++i) {
    const ShardedArray& array = state[i];
    for (size_t shard : array.first_copies()) {
      const Buffer& buffer = array.shards()[shard];
      buffer.ready_event().await();
      ArraySlice slice = array.slice(shard);
      const auto* data = static_cast<const std::byte*>(buffer.device_pointer());
      HostArray memory(array.layout().dtype, slice.sizes, data, nullptr);
      held_[i].push_back({std::move(slice), shard, std::move(memory)});
    }
  }
}

void StateWriter::let_go() {
  reserved_ = false;
  for (std::vector<Held>& held : held_) held.clear();
}

// Memory has none.
std::vector<int64_t> StateWriter::grain(size_t) const { return std::vector<int64_t>(kMostAxes, 1); }

void StateWriter::fill(size_t index, std::span<const SliceMemory> slices) const {
  for (const SliceMemory& wanted : slices) {
    if (index == spec_.entries.size()) {
      std::memset(wanted.data, 0, static_cast<size_t>(wanted.slice.elements()) * sizeof(float));
      continue;
    }
    const int64_t width = byte_size(spec_.entries[index].type.dtype);
    const std::vector<int64_t> to = row_major_strides(wanted.slice.sizes);
    const auto held =
        std::ranges::find_if(held_[index], [&](const Held& h) { return contains(h.slice, wanted.slice); });
    const std::vector<int64_t> from = row_major_strides(held->slice.sizes);
    std::vector<StridedAxis> axes;
    int64_t offset = 0;
    for (size_t i = 0; i < to.size(); ++i) {
      axes.push_back({wanted.slice.sizes[i], from[i], to[i]});
      offset += (wanted.slice.start[i] - held->slice.start[i]) * from[i];
    }
    strided_copy(width, held->memory.data() + offset * width, wanted.data, axes);
  }
}

bool StateWriter::has(const ArrayChunk& chunk) const {
  const ChunkedArray& array = arrays_[chunk.array];
  if (array.index == spec_.entries.size()) return share_.process == 0;
  const ArraySlice slice = slice_of(array, chunk);
  return std::ranges::any_of(held_[array.index], [&](const Held& held) { return contains(held.slice, slice); });
}

void StateWriter::write(StepWriter& step, int threads) const {
  std::vector<ArrayChunk> chunks;
  for (size_t i = 0; i < arrays_.size(); ++i) add_chunks(i, arrays_[i], chunks);
  std::erase_if(chunks, [&](const ArrayChunk& chunk) { return !has(chunk); });
  auto write = [&](int64_t i) {
    const ArrayChunk& chunk = chunks[static_cast<size_t>(i)];
    step.write(chunk.array, chunk.place, make_chunk(*this, arrays_[chunk.array], chunk));
  };
  if (threads > 0) {
    parallel_for_in_background(std::ssize(chunks), threads, write);
  } else {
    parallel_for(std::ssize(chunks), write);
  }
}

}  // namespace fathom
