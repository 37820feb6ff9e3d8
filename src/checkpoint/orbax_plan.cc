#include "checkpoint/orbax_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <stdexcept>

#include "base/hash.h"
#include "base/remote_path.h"
#include "checkpoint/ocdbt_writer.h"
#include "checkpoint/orbax_metadata.h"
#include "checkpoint/orbax_tree.h"

namespace fathom {
namespace {

constexpr int64_t kMaxObjectBytes = int64_t{64} << 20;

std::string name_of(const std::vector<std::string>& path) { return fmt::format("{}", fmt::join(path, ".")); }

void check_grid(const StoredArraySpec& array) {
  auto refuse = [&](std::string_view why) {
    throw std::invalid_argument(fmt::format("array '{}': {}", name_of(array.path), why));
  };
  if (array.path.empty()) refuse("it has no name");
  if (array.chunk.size() != array.sizes.size() || array.inner.size() != array.sizes.size()) {
    refuse("its chunks have another rank");
  }
  for (size_t axis = 0; axis < array.sizes.size(); ++axis) {
    if (array.sizes[axis] < 0 || array.chunk[axis] < 1 || array.inner[axis] < 1) refuse("a size is too small");
    if (array.chunk[axis] % array.inner[axis] != 0) refuse("inner chunks do not divide its chunks");
  }
}

// No node twice, and none below another.
void check_tree(const std::vector<StoredArraySpec>& arrays, const OrbaxOptions& options) {
  std::vector<std::vector<std::string>> paths = options.empty;
  paths.insert(paths.end(), options.none.begin(), options.none.end());
  for (const StoredArraySpec& array : arrays) paths.push_back(array.path);
  std::sort(paths.begin(), paths.end());
  for (size_t i = 1; i < paths.size(); ++i) {
    const auto& above = paths[i - 1];
    if (above.size() <= paths[i].size() && std::equal(above.begin(), above.end(), paths[i].begin())) {
      throw std::invalid_argument(fmt::format("'{}' and '{}' in one tree", name_of(above), name_of(paths[i])));
    }
  }
}

}  // namespace

int64_t nanoseconds_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

OrbaxPlan::OrbaxPlan(std::vector<StoredArraySpec> arrays, OrbaxOptions options)
    : specs_(std::move(arrays)), options_(std::move(options)) {
  if (specs_.empty()) throw std::invalid_argument("no arrays to write");
  check_tree(specs_, options_);
  for (StoredArraySpec& spec : specs_) {
    if (spec.inner.empty() || !options_.zarr3) spec.inner = spec.chunk;
    check_grid(spec);
    Array array = {.name = name_of(spec.path),
                   .layout = {.dtype = spec.dtype,
                              .sizes = spec.sizes,
                              .chunk = spec.chunk,
                              .inner = spec.inner,
                              .version = options_.zarr3 ? 3 : 2,
                              .compress = options_.compress,
                              .checksum = options_.checksum},
                   .grid = {},
                   .chunks = 1};
    for (size_t axis = 0; axis < spec.sizes.size(); ++axis) {
      array.grid.push_back((spec.sizes[axis] + spec.chunk[axis] - 1) / spec.chunk[axis]);
      array.chunks *= array.grid.back();
    }
    arrays_.push_back(std::move(array));
  }
}

int64_t OrbaxPlan::chunks() const {
  int64_t count = 0;
  for (const Array& array : arrays_) count += array.chunks;
  return count;
}

std::string OrbaxPlan::identity() const {
  std::vector<std::string> parts = {
      options_.source, fmt::format("{} {} {} {} {}", options_.ocdbt, options_.zarr3, options_.compress,
                                   options_.checksum, options_.scan_layers ? int{*options_.scan_layers} : -1)};
  for (const auto& path : options_.empty) parts.push_back("{} " + name_of(path));
  for (const auto& path : options_.none) parts.push_back("None " + name_of(path));
  for (const auto& path : options_.lists) parts.push_back("[] " + name_of(path));
  for (const StoredArraySpec& array : specs_) {
    parts.push_back(fmt::format("{} {} {} {} {} {}", name_of(array.path), name(array.dtype),
                                fmt::join(array.sizes, ","), fmt::join(array.chunk, ","), fmt::join(array.inner, ","),
                                array.scalar));
  }
  return hash_of_parts(parts);
}

int64_t OrbaxPlan::number(size_t array, std::span<const int64_t> place) const {
  const Array& a = arrays_.at(array);
  bool inside = place.size() == a.grid.size();
  int64_t n = 0;
  for (size_t axis = 0; inside && axis < place.size(); ++axis) {
    inside = place[axis] >= 0 && place[axis] < a.grid[axis];
    n = n * a.grid[axis] + place[axis];
  }
  if (!inside) throw std::invalid_argument(fmt::format("'{}' has no chunk [{}]", a.name, fmt::join(place, ", ")));
  return n;
}

std::string OrbaxPlan::chunk_key(const Array& array, int64_t number) const {
  std::vector<int64_t> place(array.grid.size());
  for (size_t axis = place.size(); axis-- > 0; number /= array.grid[axis]) place[axis] = number % array.grid[axis];
  return array.name + "/" + zarr_chunk_name(array.layout.version, place);
}

std::unique_ptr<ChunkStore> OrbaxPlan::open_store(const std::string& folder, int process, DataFileOptions data) const {
  if (!options_.ocdbt) return plain_file_store(folder);
  data.folder = folder;
  data.subfolder = fmt::format("ocdbt.process_{}/", process);
  data.inline_bytes = kOcdbtMaxInlineBytes;
  data.file_bytes = is_remote(folder) ? std::min(options_.data_file_bytes, kMaxObjectBytes) : options_.data_file_bytes;
  return data_file_store(std::move(data));
}

ChunkPlace OrbaxPlan::store(ChunkStore& to, const ChunkId& id, std::span<const std::byte> elements) const {
  const Array& array = arrays_.at(id.first);
  if (static_cast<int64_t>(elements.size()) != chunk_bytes(array.layout)) {
    throw std::invalid_argument(fmt::format("'{}': chunk {} comes with {} bytes and has {}", array.name, id.second,
                                            elements.size(), chunk_bytes(array.layout)));
  }
  std::unique_ptr<ChunkEncoder> encoder;
  {
    std::lock_guard lock(mutex_);
    if (!encoders_.empty()) {
      encoder = std::move(encoders_.back());
      encoders_.pop_back();
    }
  }
  if (encoder == nullptr) encoder = std::make_unique<ChunkEncoder>();
  ChunkPlace place =
      to.put(chunk_key(array, id.second), id, [&](ByteSink& sink) { encoder->encode(array.layout, elements, sink); });
  std::lock_guard lock(mutex_);
  encoders_.push_back(std::move(encoder));
  return place;
}

// Manifest and nodes: where the chunks and descriptions of all arrays lie.
void OrbaxPlan::put_database(std::vector<std::pair<std::string, ChunkPlace>> places, const PutFile& put) const {
  std::vector<OcdbtFile> files;
  std::map<std::string, int> numbers;
  std::vector<OcdbtValue> values;
  for (auto& [key, place] : places) {
    OcdbtValue value = {.key = key, .bytes = std::move(place.bytes), .offset = place.offset, .length = place.length};
    if (!place.file.empty()) {
      const auto [file, fresh] = numbers.try_emplace(place.file, static_cast<int>(files.size()));
      const size_t base = place.file.find('/') + 1;
      if (fresh) files.push_back({.base = place.file.substr(0, base), .name = place.file.substr(base)});
      value.file = file->second;
    }
    values.push_back(std::move(value));
  }
  const OcdbtOptions options = {.node_file = "d/" + fresh_file_name(),
                                .uuid = fresh_file_name().substr(0, 16),
                                .commit_time = static_cast<uint64_t>(nanoseconds_now()),
                                .max_node_bytes = options_.max_node_bytes};
  const OcdbtDatabase database = encode_ocdbt(std::move(values), files, options);
  put("items/" + options.node_file, database.nodes);
  put(fmt::format("items/{}", kOcdbtManifest), database.manifest);
}

void OrbaxPlan::put_metadata(ChunkStore& store, const std::function<ChunkPlace(const ChunkId&)>& place,
                             const PutFile& put) const {
  std::vector<std::pair<std::string, ChunkPlace>> places;
  for (size_t i = 0; i < arrays_.size(); ++i) {
    const Array& array = arrays_[i];
    const std::string key = fmt::format("{}/{}", array.name, zarr_description_name(array.layout.version));
    const std::string description = zarr_description(array.layout);
    places.emplace_back(key, store.put(key, {}, [&](ByteSink& sink) { sink.append(description); }));
    if (!options_.ocdbt) continue;
    for (int64_t n = 0; n < array.chunks; ++n) places.emplace_back(chunk_key(array, n), place({i, n}));
  }
  store.close();
  if (options_.ocdbt) put_database(std::move(places), put);
  put(fmt::format("items/{}", kOrbaxTree), tree_metadata(specs_, options_));
  put("items/array_metadatas/process_0", array_metadatas(specs_));
}

void OrbaxPlan::put_markers(const std::string& step_folder, int64_t begun, const PutFile& put) const {
  const std::string whole = "Checkpoint commit was successful to " + step_folder;
  put(fmt::format("items/{}", kOrbaxCommitted), whole + "/items");
  put(std::string(kOrbaxCheckpoint), checkpoint_metadata(options_.scan_layers, begun, nanoseconds_now()));
  put(std::string(kOrbaxCommitted), whole);
}

}  // namespace fathom
