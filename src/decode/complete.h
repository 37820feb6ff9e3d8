// Greedy completion of a prompt by running the whole forward pass for each token.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "session/state_io.h"

namespace fathom {

// Adds up to `count` tokens to `prompt`, which has one at least; the program is as long as both together. `eos` ends it
// (-1: nothing does); `each` is called with every new token.
std::vector<int32_t> complete_greedily(const Session& session, const Config& config, const StateSpec& spec,
                                       State& state, std::vector<int32_t> prompt, int64_t count, int32_t eos,
                                       const std::function<void(int32_t)>& each);

}  // namespace fathom
