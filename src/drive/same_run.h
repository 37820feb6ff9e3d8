// Whether a checkpoint belongs to a run.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace fathom {

// The keys that make another run of it than the one whose configuration (its config.yml) is given: those of the model,
// the optimizer, the mask and the parts beside the model. Each as "key is 4 here and 8 there". Other keys that differ
// are named in a line. Throws FormatError naming `path` when it is no configuration.
std::vector<std::string> keys_of_another_run(const std::string& saved_config, const Config& config,
                                             const std::string& path);

}  // namespace fathom
