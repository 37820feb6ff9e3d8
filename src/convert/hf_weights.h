// Parameters from a Hugging Face folder: names, shapes and order come from the parameter table.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/array_slice.h"
#include "checkpoint/safetensors_folder.h"
#include "convert/quantized.h"
#include "convert/weight_source.h"
#include "model/params.h"

namespace fathom {

class WeightFindings;

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
// How many axes of an array count layers and experts: those that choose one of its parts, which stand in their order.
size_t axes_of_parts(const Param& param, const ParamArray& array);
// The same where a layer's experts are stacked, as transformers 5 has them in memory: "mlp.experts.gate_up_proj"
// [e 2f d], the gate's rows before the other's, and "mlp.experts.down_proj" [e d f]. Nothing for a parameter that is no
// matrix of experts.
std::vector<HfPart> stacked_parts(const ModelConfig& config, const Param& param, const ParamArray& array);

class HfWeights : public WeightSource {
 public:
  // As open_weights(). Experts may be stacked, and tensors quantized: their numbers are those of the folder that
  // deepseek_fp8_to_bf16 writes.
  HfWeights(TensorFolder folder, const WantedWeights& wanted);

  // Reads what the slices need and no more than a page between two pieces of it.
  void fill(size_t index, std::span<const SliceMemory> slices) const override;
  const std::vector<size_t>& missing() const override { return missing_; }
  // Compares embedding and head with what the modules for prediction repeat of them, where the folder holds that.
  void warn_of_other_copies() const override;
  std::vector<int64_t> grain(size_t index) const override;

 private:
  struct Array {
    ParamArray array;
    std::vector<HfPart> parts;
  };

  void check_tensor(const Param& param, const HfPart& part, WeightFindings& findings) const;

  TensorFolder folder_;
  Dequantizer dequantizer_;
  std::vector<Array> arrays_;
  std::vector<size_t> missing_;
  std::vector<std::pair<std::string, std::string>> copies_;  // names of a copy and of what it is of
};

// How many modules for multi-token prediction a folder holds.
int64_t prediction_modules(const TensorFolder& folder);

}  // namespace fathom
