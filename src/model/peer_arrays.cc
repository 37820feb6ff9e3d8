#include "model/peer_arrays.h"

#include <fmt/format.h>

#include <algorithm>

namespace fathom {
namespace {

constexpr std::string_view kModule = "{module}";

std::string with_module(std::string path, int64_t number) {
  for (size_t at = path.find(kModule); at != std::string::npos; at = path.find(kModule)) {
    path.replace(at, kModule.size(), std::to_string(number));
  }
  return path;
}

}  // namespace

PeerArray peer_array(const ModelConfig& config, const Param& param, const ParamArray& array, int64_t scan_axis) {
  PeerArray out{.path = param.peer, .axes = {}};
  for (const std::string& name : split_names(param.peer_axes)) out.axes.push_back(array.type.shape.find(name));
  if (!param.stack) return out;
  const Stack stack = stacks(config)[*param.stack];
  if (stack.prediction) {
    out.path = with_module(param.peer, array.layer + 1);
    return out;
  }
  if (array.layer >= 0) {
    out.path = fmt::format("{}_{}{}", stack.name, array.layer, param.peer.substr(stack.name.size()));
    return out;
  }
  int64_t wanted = param.peer_layer_axis >= 0 ? param.peer_layer_axis : scan_axis;
  int64_t at = std::clamp<int64_t>(wanted, 0, static_cast<int64_t>(out.axes.size()));
  out.axes.insert(out.axes.begin() + at, array.type.shape.find("l"));
  return out;
}

}  // namespace fathom
