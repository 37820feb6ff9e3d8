// Parameters from a Hugging Face folder: names, shapes and order come from the parameter table.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/array_slice.h"
#include "checkpoint/safetensors_folder.h"
#include "model/params.h"

namespace fathom {

// One tensor of a Hugging Face folder as a part of one of our arrays. The elements stand in the same order.
struct HfPart {
  std::string name;
  std::vector<int64_t> sizes;
  int64_t offset = 0;  // first element in our array
  int64_t elements = 0;
  int64_t from = 0;  // first element in the tensor
};

// The tensors that make up an array, in memory order: one a layer of a stack, and one an expert.
std::vector<HfPart> hf_parts(const ModelConfig& config, const Param& param, const ParamArray& array);
// The same where a layer's experts are stacked, as transformers 5 has them in memory: "mlp.experts.gate_up_proj"
// [e 2f d], the gate's rows before the other's, and "mlp.experts.down_proj" [e d f]. Nothing for a parameter that is no
// matrix of experts.
std::vector<HfPart> stacked_parts(const ModelConfig& config, const Param& param, const ParamArray& array);

class HfWeights {
 public:
  // Checks all names and shapes; no byte of a tensor is read. Throws one FormatError that lists missing, extra and
  // misshapen tensors together. What a run leaves off (model/left_off.h) is not extra. Experts may be stacked.
  HfWeights(TensorFolder folder, const ModelConfig& config, const std::vector<Param>& table,
            const std::vector<ParamArray>& arrays);

  // Fills slices of array `index`, which do not overlap, with its numbers in its dtype. Reads what they need and no
  // more than a page between two pieces of it, in one pass on all cores; beside the slices it takes less than a
  // megabyte a core. Throws FormatError that names parameter and tensor for a number that is not finite, or the file
  // when it was cut short meanwhile.
  void fill(size_t index, std::span<const SliceMemory> slices) const;

 private:
  struct Array {
    ParamArray array;
    std::vector<HfPart> parts;
  };

  TensorFolder folder_;
  std::vector<Array> arrays_;
};

}  // namespace fathom
