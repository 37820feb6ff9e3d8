// Parameters from a Hugging Face folder: names, shapes and order come from the parameter table.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/host_array.h"
#include "checkpoint/safetensors_folder.h"
#include "model/params.h"

namespace fathom {

// One tensor of a Hugging Face folder as a part of one of our arrays. The elements stand in the same order.
struct HfPart {
  std::string name;
  std::vector<int64_t> sizes;
  int64_t offset = 0;  // first element in our array
  int64_t elements = 0;
};

// The tensors that make up an array, in memory order: one a layer of a stack, and one an expert.
std::vector<HfPart> hf_parts(const ModelConfig& config, const Param& param, const ParamArray& array);

// Checks all names and shapes before a byte is read, then hands over each array (index in `arrays`) in its dtype, one
// at a time. Throws one FormatError that lists missing, extra and misshapen tensors together. Tensors of MTP modules
// and indexers that the run leaves off, and stored rotary frequencies, are not extra.
void load_hf_weights(const TensorFolder& folder, const ModelConfig& config, const std::vector<Param>& table,
                     const std::vector<ParamArray>& arrays, const std::function<void(size_t, HostArray)>& sink);

}  // namespace fathom
