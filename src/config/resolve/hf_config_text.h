// A configuration as a Hugging Face config.json: what hf_model_layer() reads.
#pragma once

#include <string>

#include "base/dtype.h"
#include "config/config.h"

namespace fathom {

// For checkpoints that come without one. `dtype`: of the tensors. The class names are those of the release with the
// same parts; token numbers stand there for the vocabularies that were released.
std::string hf_config_text(const Config& config, DType dtype);

}  // namespace fathom
