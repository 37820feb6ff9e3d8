// Values that follow from others, and conflicts between keys; steps of resolve_config.
#pragma once

#include "config/resolve/layers.h"

namespace fathom {

struct DeriveInput {
  const Layer& settings;  // the merged layers
  const Layer& model;     // what the model file or config.json says
  const Environment& environment;
  const ResolveOptions& options;
};

// Fills what Config calls derived or resolved. Adds a notice for each default taken from elsewhere.
void derive(Config& config, const DeriveInput& input, std::vector<std::string>& notices, Problems& problems);

// The tensors that a remat policy keeps besides the layer's input.
std::vector<std::string> saved_tensors(const Config& config);

}  // namespace fathom
