// The arrays that a run keeps on the device between steps, and their order in every program.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "graph/partition.h"
#include "model/params.h"

namespace fathom {

// Parameters come in the order of `arrays`; the optimizer's moments in the order of `trained`.
struct StateLayout {
  ModelConfig model;
  std::vector<Param> table;
  std::vector<ParamArray> arrays;
  std::vector<size_t> trained;  // indices of the arrays that AdamW moves
  std::vector<bool> decayed;    // for each trained array, whether weight decay acts on it
  // The mesh and its rules, and how each array is split; null and replicated on one device.
  std::shared_ptr<const Partition> partition;
  std::vector<Sharding> shardings;

  const Param& param(const ParamArray& array) const { return table[array.row]; }
};

// `trainable_parameters_mask` and `adamw_mask` are regular expressions searched in the parameter's MaxText path
// ("decoder/moe_layers/self_attention/wq_a/kernel"). Throws ConfigError for a broken expression and for a mask that
// leaves nothing to train; GraphError when the mesh does not divide an array.
StateLayout state_layout(const Config& config, const Mesh& mesh = {});

}  // namespace fathom
