// What a Hugging Face folder may hold beyond the parameter table.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/params.h"

namespace fathom {

// The tensors of a model that a run does without: those of parts it has switched off (the table's rows with every part
// switched on, less its own), those of the modules for multi-token prediction that it has no rows for, and frequencies
// that are stored though they can be computed.
class LeftOff {
 public:
  // `tensors`: all names in the folder.
  LeftOff(const ModelConfig& config, const std::vector<Param>& table, const std::vector<std::string>& tensors);
  bool operator()(std::string_view tensor) const;
  // The number of the layer that a tensor belongs to, if it is one of a layer.
  std::optional<int64_t> layer_of(std::string_view tensor) const;

 private:
  int64_t layers_;                     // modules for prediction that have rows included
  std::vector<std::string> patterns_;  // of the rows that are switched off
  std::string layer_prefix_;           // what stands in front of a layer's number
  std::set<int64_t> prediction_layers_;
};

}  // namespace fathom
