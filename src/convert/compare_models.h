// Two folders of weights compared, whatever forms they have.
#pragma once

#include <string>

#include "checkpoint/compare_weights.h"
#include "model/params.h"

namespace fathom {

// Compares the parameters of a model, by the names of a Hugging Face folder: those that only one of the two has, and
// those whose numbers differ (in float32, which holds all types that are stored), with the largest difference. Reads a
// few megabytes a thread at a time. Throws as open_weights() does.
WeightsDifferences compare_models(const std::string& a, const std::string& b, ModelConfig config);

}  // namespace fathom
