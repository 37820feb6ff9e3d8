// How the parameters are split, in the peer's words.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "program/state.h"

namespace fathom {

// A line a parameter, in the order of the table: name and sizes as MaxText has them, and the mesh axes that split each
// of its axes ("-" for none; mesh axes of size 1 are left out):
// "sharding: params.decoder.logits_dense.kernel sizes=[2048,102400] axes=[fsdp+expert,-]".
std::vector<std::string> sharding_lines(const Config& config, const StateSpec& state);

}  // namespace fathom
