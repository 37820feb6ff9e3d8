// The tree of an Orbax checkpoint (`_METADATA`): which arrays there are, and how they are stored.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

inline constexpr std::string_view kOrbaxTree = "_METADATA";
inline constexpr std::string_view kOrbaxCheckpoint = "_CHECKPOINT_METADATA";
inline constexpr std::string_view kOrbaxCommitted = "commit_success.txt";

struct OrbaxLeaf {
  std::vector<std::string> path;
  bool is_empty = false;  // {} or None: no array
};

struct OrbaxTree {
  std::vector<OrbaxLeaf> leaves;  // in the file's order
  std::optional<bool> use_ocdbt;  // not said: as manifest.ocdbt is there or not
  bool use_zarr3 = false;
  bool stores_every_chunk = false;  // a chunk that is not there is lost
};

// Both throw FormatError naming the file.
OrbaxTree parse_orbax_tree(const std::string& path, std::string_view text);
// custom_metadata.scan_layers of _CHECKPOINT_METADATA, where it is said.
std::optional<bool> parse_scan_layers(const std::string& path, std::string_view text);

}  // namespace fathom
