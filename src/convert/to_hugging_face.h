// Weights from any folder into a Hugging Face folder.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/safetensors_shard.h"
#include "convert/conversion.h"
#include "convert/weight_source.h"

namespace fathom {

// The arrays of a model in the types that a Hugging Face folder stores: one type, and float32 for the router's bias.
std::vector<ParamArray> hugging_face_arrays(const ModelConfig& config, const std::vector<Param>& table, DType dtype);

// All tensors of the folder with the names of their files, in the order of the model; what modules for prediction
// repeat of embedding and head included.
std::vector<TensorSpec> hugging_face_tensors(const WantedWeights& wanted);

class ToHuggingFace {
 public:
  // Plans the shards; nothing is written. `source` tells what the numbers come from: shards that are whole already are
  // kept where they came from the same. `wanted` outlives this. Throws ConfigError when the folder is not local or
  // holds another model.
  ToHuggingFace(const WantedWeights& wanted, std::string folder, const std::string& source);
  ~ToHuggingFace();

  // Of all tensors.
  int64_t bytes() const;
  // Of the shards that are not there yet.
  int64_t bytes_to_write() const;
  // Writes the shards; each gets its name when it is whole. Memory: one chunk of the source and what it is made into a
  // thread, at most two gigabytes or one such in all. Throws as WeightSource::fill and SafetensorsShard do.
  void write(const WeightSource& source, ConversionProgress& progress);
  // The last thing, once all else stands in the folder.
  void write_index() const;

 private:
  class Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace fathom
