// Parameters and optimizer state in device memory: initial values, or from a folder.
#pragma once

#include <vector>

#include "session/session.h"
#include "program/programs.h"

namespace fathom {

struct TrainState {
  std::vector<ShardedArray> parameters;  // all arrays
  std::vector<ShardedArray> mu, nu;      // trained arrays
  ShardedArray step;                     // s32: steps done

  // The state's arguments of train_step, in order.
  std::vector<ShardedArray*> arguments();
};

// From load_parameters_path when it is set (a Hugging Face folder), else drawn with init_weights_seed. Throws
// FormatError when the folder does not fit the model or holds numbers that are not finite, ConfigError when it is no
// such folder.
std::vector<ShardedArray> make_parameters(const Session& session, const Config& config, const StateLayout& layout);

// The parameters of a folder, for whoever has its path from elsewhere.
std::vector<ShardedArray> load_parameters(const Session& session, const std::string& folder, const StateLayout& layout);

// Parameters as above, zero moments, step 0.
TrainState make_state(const Session& session, const Config& config, const StateLayout& layout);

}  // namespace fathom
