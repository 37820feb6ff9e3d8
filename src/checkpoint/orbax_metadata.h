// The JSON files beside the arrays of an Orbax checkpoint, as they are written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/orbax_plan.h"

namespace fathom {

// items/_METADATA: the tree, and how it is stored.
std::string tree_metadata(const std::vector<StoredArraySpec>& arrays, const OrbaxOptions& options);
// items/array_metadatas/process_0.
std::string array_metadatas(const std::vector<StoredArraySpec>& arrays);
// _CHECKPOINT_METADATA of the step; times in nanoseconds since 1970.
std::string checkpoint_metadata(std::optional<bool> scan_layers, int64_t begun, int64_t committed);

}  // namespace fathom
