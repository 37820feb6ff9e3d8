#include "convert/peer_places.h"

#include <algorithm>
#include <sstream>

#include "model/peer_arrays.h"

namespace fathom {
namespace {

constexpr std::string_view kParams = "params.params.";
constexpr std::string_view kBiases = "params.MoEBiasVar.";
constexpr std::string_view kAuxiliary = "nnx_aux.model.";

// The array of one layer of a stack, or of the whole stack, beside `array`.
ParamArray in_form(const ModelConfig& config, const std::vector<Param>& row, int64_t layer) {
  ModelConfig form = config;
  form.scan_layers = layer < 0;
  const std::vector<ParamArray> all = param_arrays(form, row);
  return all[static_cast<size_t>(std::max<int64_t>(layer, 0))];
}

PeerPlace place_of(std::string_view collection, const PeerArray& peer, const TensorType& type) {
  PeerPlace out{.name = std::string(collection) + peer.path, .axes = peer.axes, .sizes = {}};
  for (int axis : peer.axes) out.sizes.push_back(type.shape[axis].size);
  return out;
}

class Forms {
 public:
  Forms(const ModelConfig& config, const Param& param, const ParamArray& array)
      : config_(config), row_{param}, array_(array), stack_(param.stack ? stacks(config)[*param.stack] : Stack{}) {}

  // As the array itself is stored.
  PeerForm same(std::string_view collection, int64_t scan_axis) const {
    return {place_of(collection, peer_array(config_, row_[0], array_, scan_axis), array_.type)};
  }
  bool has_other() const { return row_[0].stack && !stack_.prediction; }
  // A stack's layers one by one, or one layer out of its stack.
  PeerForm other(std::string_view collection, int64_t scan_axis) const {
    return array_.layer < 0 ? layers(collection) : out_of_stack(collection, scan_axis);
  }

 private:
  PeerForm layers(std::string_view collection) const {
    PeerForm out;
    for (int64_t i = 0; i < stack_.count; ++i) {
      const ParamArray layer = in_form(config_, row_, i);
      PeerPlace place = place_of(collection, peer_array(config_, row_[0], layer, 0), layer.type);
      for (int& axis : place.axes) ++axis;  // ours has the layer axis in front
      place.our_layer = i;
      out.push_back(std::move(place));
    }
    return out;
  }
  PeerForm out_of_stack(std::string_view collection, int64_t scan_axis) const {
    const ParamArray stack = in_form(config_, row_, -1);
    PeerPlace place = place_of(collection, peer_array(config_, row_[0], stack, scan_axis), stack.type);
    for (int& axis : place.axes) --axis;
    place.layer = array_.layer;
    return {place};
  }

  const ModelConfig& config_;
  const std::vector<Param> row_;
  const ParamArray& array_;
  const Stack stack_;
};

// The row with its layer axis where the key says, instead of where its own revision fixes it.
Param unfixed(Param param) {
  param.peer_layer_axis = -1;
  return param;
}

void add_forms(std::string_view collection, const ModelConfig& config, const Param& param, const ParamArray& array,
               int64_t scan_axis, std::vector<PeerForm>& out) {
  const Forms forms(config, param, array);
  out.push_back(forms.same(collection, scan_axis));
  if (forms.has_other()) out.push_back(forms.other(collection, scan_axis));
}

}  // namespace

std::vector<std::string> tree_path(const std::string& name) {
  std::vector<std::string> out;
  std::istringstream in(name);
  for (std::string part; std::getline(in, part, '.');) out.push_back(part);
  return out;
}

std::vector<PeerForm> peer_forms(const ModelConfig& config, const Param& param, const ParamArray& array,
                                 int64_t scan_axis) {
  std::vector<PeerForm> out;
  auto add = [&](std::string_view collection, const Param& row) {
    add_forms(collection, config, row, array, scan_axis, out);
  };
  if (param.peer_layer_axis >= 0) {
    add(kBiases, param);
    add(kAuxiliary, param);
  }
  add(kParams, unfixed(param));
  if (param.peer_layer_axis >= 0) add(kParams, param);
  return out;
}

std::vector<PeerForm> peer_forms_in(std::string_view collection, const ModelConfig& config, const Param& param,
                                    const ParamArray& array, int64_t scan_axis) {
  std::vector<PeerForm> out;
  add_forms(collection, config, unfixed(param), array, scan_axis, out);
  return out;
}

PeerPlace peer_place_in(std::string_view collection, const ModelConfig& config, const Param& param,
                        const ParamArray& array, int64_t scan_axis) {
  return Forms(config, unfixed(param), array).same(collection, scan_axis)[0];
}

std::vector<PeerPlace> written_places(const ModelConfig& config, const Param& param, const ParamArray& array,
                                      int64_t scan_axis, PeerFolder folder) {
  std::vector<PeerPlace> out = {peer_place_in(kParams, config, param, array, scan_axis)};
  if (param.peer_layer_axis < 0) return out;
  auto add = [&](std::string_view collection) {
    out.push_back(Forms(config, param, array).same(collection, scan_axis)[0]);
  };
  add(kBiases);
  if (folder == PeerFolder::kTrainingState) add(kAuxiliary);
  return out;
}

}  // namespace fathom
