// What results of a model depend on beside their prompts, as texts that a later run compares with its own.
#pragma once

#include <string>

#include "config/config.h"

namespace fathom {

// The folder of the weights, from the root of the file system; a remote one as it is.
std::string folder_mark(const Config& config);
// What lies in it: another text once the weights there are others.
std::string weights_mark(const Config& config);
// What is computed of them: the keys of the model, and those of types and precision of numbers.
std::string model_mark(const Config& config);

}  // namespace fathom
