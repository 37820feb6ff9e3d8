// What a checkpoint folder is going to hold, in Orbax's form: arrays, their chunks and the files that say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/chunk_store.h"
#include "checkpoint/zarr_writer.h"

namespace fathom {

// An array that is going to be written.
struct StoredArraySpec {
  std::vector<std::string> path;  // keys of the tree: {"params", "params", "decoder", "decoder_norm", "scale"}
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes;
  std::vector<int64_t> chunk;  // elements of a chunk along each axis; the last ones may stand over the array's end
  std::vector<int64_t> inner;  // of the inner chunks, each packed for itself; divides `chunk`; empty: as `chunk`
  bool scalar = false;         // comes back as a number of Python's
};

struct OrbaxOptions {
  bool ocdbt = true;      // else a file for each chunk
  bool zarr3 = true;      // else zarr 2, which has no inner chunks
  bool compress = true;   // zstd, level 1
  bool checksum = false;  // zarr 3 alone: crc32c of each inner chunk that is not compressed
  // What the writer of the folder says about the layers; nothing: nothing.
  std::optional<bool> scan_layers = std::nullopt;
  std::vector<std::vector<std::string>> empty = {{"opt_state"}};  // nodes that are {}
  std::vector<std::vector<std::string>> none = {};                // nodes that are None
  std::vector<std::vector<std::string>> lists = {};               // nodes whose children are numbered, not named
  // Names what the numbers come from (a folder, its files' sizes and times). An attempt of before is gone on with only
  // where it was of the same source.
  std::string source = {};
  int64_t data_file_bytes = int64_t{2} << 30;  // of the data files of OCDBT, about; at most 64 MB on gs:// and s3://
  int64_t sync_bytes = int64_t{256} << 20;     // so much is lost when the machine stops, or an upload
  int64_t max_node_bytes = 100'000'000;        // of a node of OCDBT's tree
};

// Immutable but for the memory of its encoders; thread-safe.
class OrbaxPlan {
 public:
  struct Array {
    std::string name;  // its path joined with dots
    ZarrLayout layout;
    std::vector<int64_t> grid;  // chunks along each axis
    int64_t chunks = 0;
  };
  // Called with the name of a file in the step's folder and what is to stand in it.
  using PutFile = std::function<void(const std::string& name, std::string_view content)>;

  // Throws std::invalid_argument when the arrays make no tree or no grids.
  OrbaxPlan(std::vector<StoredArraySpec> arrays, OrbaxOptions options);

  const OrbaxOptions& options() const { return options_; }
  const std::vector<Array>& arrays() const { return arrays_; }
  int64_t chunks() const;
  // What an attempt must share with the one before it.
  std::string identity() const;
  // Of a chunk among those of its array, row-major. Throws std::invalid_argument when there is no such one.
  int64_t number(size_t array, std::span<const int64_t> place) const;

  // Where the chunks of a process go: ocdbt.process_N/d/..., or a file each; `folder` is that of the tree (items).
  std::unique_ptr<ChunkStore> open_store(const std::string& folder, int process, DataFileOptions data = {}) const;
  // Packs a chunk, in the calling thread. Throws std::invalid_argument when it is not of its size.
  ChunkPlace store(ChunkStore& to, const ChunkId& id, std::span<const std::byte> elements) const;

  // Closes the store and puts all files but the chunks and the two that say that the folder is whole. `place`: where
  // each chunk lies.
  void put_metadata(ChunkStore& store, const std::function<ChunkPlace(const ChunkId&)>& place,
                    const PutFile& put) const;
  // Those two, and the one of the step. `begun`: nanoseconds since 1970.
  void put_markers(const std::string& step_folder, int64_t begun, const PutFile& put) const;

 private:
  std::string chunk_key(const Array& array, int64_t number) const;
  void put_database(std::vector<std::pair<std::string, ChunkPlace>> places, const PutFile& put) const;

  std::vector<StoredArraySpec> specs_;
  OrbaxOptions options_;
  std::vector<Array> arrays_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<ChunkEncoder>> encoders_;  // not in use
};

// Nanoseconds since 1970.
int64_t nanoseconds_now();

}  // namespace fathom
