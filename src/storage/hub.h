// Names of the Hugging Face Hub as paths in its local cache. Nothing is downloaded.
#pragma once

#include <cstdint>
#include <string>

#include "base/environment.h"

namespace fathom {

enum class HubKind : uint8_t { kModel, kDataset };

// A path that exists or is remote as it is; otherwise the newest snapshot of org/name in the Hub's cache (HF_HUB_CACHE,
// HF_HOME, XDG_CACHE_HOME, HOME); otherwise a ConfigError with the `hf download` line. `key` begins the message.
std::string find_in_hub(const std::string& key, const std::string& name, HubKind kind, const Environment& environment);

}  // namespace fathom
