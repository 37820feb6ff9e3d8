// The arrays of a model as MaxText's parameter tree holds them: its names, its order of axes.
#pragma once

#include <string>
#include <vector>

#include "model/params.h"

namespace fathom {

struct PeerArray {
  // Below params/params, joined with dots: "decoder.moe_layers_3.self_attention.wq_a.kernel" is one layer's,
  // "decoder.moe_layers.self_attention.wq_a.kernel" the whole stack's.
  std::string path;
  // For each axis of MaxText's array the position of that axis in ours.
  std::vector<int> axes;
};

// `scan_axis` is the key param_scan_axis: where the layer axis of a stack stands, at the end of arrays of lower rank.
PeerArray peer_array(const ModelConfig& config, const Param& param, const ParamArray& array, int64_t scan_axis);

}  // namespace fathom
