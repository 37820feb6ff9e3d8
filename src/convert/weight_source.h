// The parameters of a model in a folder, whatever form the folder has.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "convert/array_source.h"
#include "model/params.h"

namespace fathom {

// The arrays that are wanted of a folder.
struct WantedWeights {
  const ModelConfig& config;
  const std::vector<Param>& table;
  const std::vector<ParamArray>& arrays;
  int64_t scan_axis = 1;  // the key param_scan_axis, of folders in MaxText's form
  // Whether the folder may be without a parameter.
  std::function<bool(const Param&)> may_miss = [](const Param&) { return false; };
};

// Fills in one pass on all cores; beside the slices it takes a few megabytes a core. Throws FormatError that names the
// parameter for a number that is not finite, or the file when it was cut short meanwhile.
class WeightSource : public ArraySource {
 public:
  // Indices of arrays that are not there and may be missing.
  virtual const std::vector<size_t>& missing() const = 0;
  // Says which tensors that the folder holds twice differ, and which of them is used.
  virtual void warn_of_other_copies() const = 0;
};

// Checks all names and shapes of a Hugging Face folder or an Orbax checkpoint; no byte of a tensor is read. Throws one
// FormatError that lists missing, extra and misshapen tensors together, ConfigError for a path that is neither. What a
// run leaves off (model/left_off.h) is not extra.
std::unique_ptr<WeightSource> open_weights(const std::string& path, const WantedWeights& wanted);

// How many modules for multi-token prediction a folder holds; 0 for one that open_weights() would refuse.
int64_t prediction_modules(const std::string& path);
// The type of the folder's embedding: what its other tensors have too, but for float32 ones and quantized ones.
std::optional<DType> stored_dtype(const std::string& path);

}  // namespace fathom
