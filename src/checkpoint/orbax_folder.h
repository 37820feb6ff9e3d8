// Checkpoints that Orbax wrote (MaxText's): an OCDBT database or plain files, zarr v2 or v3; arrays by their names.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/array_slice.h"
#include "base/host_array.h"
#include "checkpoint/zarr_reader.h"

namespace fathom {

// An array of a checkpoint folder.
struct StoredArray {
  std::string name;               // its path joined with dots: "params.params.decoder.decoder_norm.scale"
  std::vector<std::string> path;  // in the tree; the items of lists and tuples are "0", "1", ...
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes;
  std::vector<int64_t> chunk;  // what is decoded by itself
  int64_t bytes() const;       // decoded
};

class OrbaxFolder {
 public:
  // Whether a path is one of Orbax's folders: a step, or the folder of the tree in it. Nothing of it is read.
  static bool is_checkpoint(const std::string& path);
  // Reads and checks the metadata alone. Throws FormatError when the folder holds no finished checkpoint or several
  // trees (naming them), or when a file of it is not what it should be.
  static OrbaxFolder open(const std::string& path);

  // The folder with the tree ("<step>/items").
  const std::string& path() const { return path_; }
  // Sorted by name.
  const std::vector<StoredArray>& arrays() const { return arrays_; }
  // Null when there is no such array.
  const StoredArray* find(std::string_view name) const;
  // Names of the empty nodes ({} and None), sorted.
  const std::vector<std::string>& empty() const { return empty_; }
  // How the layers are stored, where the writer said so.
  std::optional<bool> scan_layers() const { return scan_layers_; }

  // Throws FormatError when a chunk is not there, or a file ends before the last that it holds; no chunk is read.
  void require_whole() const;

  using Visit = VisitPiece;
  // See read_zarr. `array` is one of arrays(). Thread-safe.
  void read(const StoredArray& array, std::span<const ArraySlice> wanted, const Visit& visit) const;
  // A whole array. Throws FormatError when it is larger than the machine's memory.
  HostArray whole(const StoredArray& array) const;

 private:
  void read_arrays(const std::string& tree_path);
  ZarrSource source(const StoredArray& array) const;

  std::string path_;
  std::vector<StoredArray> arrays_;
  std::vector<ZarrArray> layouts_;  // of the arrays
  std::vector<std::string> empty_;
  std::optional<bool> scan_layers_;
  bool may_be_absent_ = false;
  std::shared_ptr<const KeyStore> keys_;
};

}  // namespace fathom
