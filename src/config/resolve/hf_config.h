// model_name=auto: a Hugging Face config.json as the model's keys.
#pragma once

#include <string>

#include "config/resolve/layers.h"

namespace fathom {

// Reads every field that changes the numbers of a DeepSeek V2, V3 or V3.2 model; fields of training and of the file's
// own business are passed over, an unknown field is a mistake. `origin` is the file's path. num_nextn_predict_layers is
// checked and left alone: mtp_num_layers is the run's choice.
Layer hf_model_layer(const std::string& json_text, const std::string& origin, Problems& problems);

}  // namespace fathom
