// The state of a run made: initial values, or from a folder of weights or a training state.
#pragma once

#include <string>
#include <vector>

#include "session/state_folder.h"
#include "session/state_io.h"

namespace fathom {

// Fills the parameters of a state from a folder of weights (convert/weight_source.h); those that may be missing and are
// stay as they are. Gives the entries of these. Throws FormatError when the folder does not fit the model or holds
// numbers that are not finite, ConfigError when it is no such folder.
std::vector<size_t> load_parameters(const Session& session, const Config& config, const std::string& folder,
                                    const StateSpec& spec, State& state);

// All entries: parameters from load_parameters_path when it is set, else drawn with init_weights_seed, and so are those
// that init_missing_parameters names and the folder lacks; zero moments, step 0. Throws as load_parameters does.
State make_state(const Session& session, const Config& config, const StateSpec& spec);

// The parameters alone, from load_parameters_path; those that init_missing_parameters names and the folder lacks are
// drawn. Throws as load_parameters does.
State make_parameters(const Session& session, const Config& config, const StateSpec& spec);

// All entries from a training state; those that it lacks and init_missing_parameters names begin as in a fresh run.
// Throws as StateFolder::fill does.
State load_state(const Session& session, const Config& config, const StateSpec& spec, const StateFolder& folder);

}  // namespace fathom
