// Where commands that run a trained model find its weights.
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"
#include "config/resolve/resolve.h"

namespace fathom {

// The folder of weights that a path means: of a run's folder the newest step, which a line says, else the path itself.
std::string newest_weights(const std::string& path);

// The words with load_parameters_path naming the folder of weights: of a run's folder the newest step. Where they do
// not give the key the newest step of the run that they name counts, as for a run that goes on, and what a file says
// only where there is none. Throws ConfigError where there are no weights.
std::vector<std::string> words_with_weights(const CommandLine& line, const Environment& environment);

}  // namespace fathom
