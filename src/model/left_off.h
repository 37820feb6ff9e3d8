// What a Hugging Face folder may hold beyond the parameter table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/params.h"

namespace fathom {

// The tensors of a model that a run does without: those of parts it has switched off (the table's rows with every part
// switched on, less its own), those of layers behind its last one (multi-token prediction), and frequencies that are
// stored though they can be computed.
class LeftOff {
 public:
  LeftOff(const ModelConfig& config, const std::vector<Param>& table);
  bool operator()(std::string_view tensor) const;

 private:
  int64_t layers_;
  std::vector<std::string> patterns_;  // of the rows that are switched off
  std::string layer_prefix_;           // what stands in front of a layer's number
};

}  // namespace fathom
