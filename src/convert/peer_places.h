// Where an array of a model stands in a checkpoint of MaxText's form.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/params.h"

namespace fathom {

// A stored array that holds one of ours, or one layer of a stack of ours, or of which one layer is ours.
struct PeerPlace {
  std::string name;            // the path joined with dots: "params.params.decoder.decoder_norm.scale"
  std::vector<int> axes;       // for each of its axes the position of that axis in ours; -1: the layer axis, at `layer`
  std::vector<int64_t> sizes;  // as it must be
  int64_t layer = 0;           // in the stored array, where the stack is stored whole and ours is one layer of it
  int64_t our_layer = -1;      // where one layer is stored and ours is the stack: which it is
};

// The keys of the tree that such a name joins with dots.
std::vector<std::string> tree_path(const std::string& name);

// The stored arrays that make up one of ours in one form: all of them must be there.
using PeerForm = std::vector<PeerPlace>;

// All forms in which checkpoints hold an array, the preferred first: stacks scanned along `scan_axis` or one array a
// layer; the router's bias in the collection MoEBiasVar, among the parameters (either order of its axes) or in nnx_aux
// (revisions of MaxText, maxtext 0.2.5 and before).
std::vector<PeerForm> peer_forms(const ModelConfig& config, const Param& param, const ParamArray& array,
                                 int64_t scan_axis);

// The same below one collection of arrays ("opt_state.0.mu.params."), where the router's bias has the axes of others.
std::vector<PeerForm> peer_forms_in(std::string_view collection, const ModelConfig& config, const Param& param,
                                    const ParamArray& array, int64_t scan_axis);

// The place of an array in such a collection, in the form of the array.
PeerPlace peer_place_in(std::string_view collection, const ModelConfig& config, const Param& param,
                        const ParamArray& array, int64_t scan_axis);

enum class PeerFolder : uint8_t { kWeights, kTrainingState };

// The places that a parameter is written to, in the form of the array: every revision of MaxText finds the router's
// bias in one of them; in a training state, which the newest asks for it in nnx_aux, there is one more.
std::vector<PeerPlace> written_places(const ModelConfig& config, const Param& param, const ParamArray& array,
                                      int64_t scan_axis, PeerFolder folder = PeerFolder::kWeights);

}  // namespace fathom
