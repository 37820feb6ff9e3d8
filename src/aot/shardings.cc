#include "aot/shardings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/peer_arrays.h"

namespace fathom {

std::vector<std::string> sharding_lines(const Config& config, const StateSpec& state) {
  std::vector<std::string> out;
  for (size_t i : state.parameters()) {
    const StateEntry& entry = state.entries[i];
    const ParamArray& array = state.arrays[entry.array];
    PeerArray peer = peer_array(state.model, state.param(entry), array, config.param_scan_axis);
    std::vector<int64_t> sizes;
    std::vector<std::string> axes;
    for (int axis : peer.axes) {
      sizes.push_back(entry.type.shape[axis].size);
      const auto& dims = entry.sharding.dims;
      bool split = !dims.empty() && !dims[static_cast<size_t>(axis)].empty();
      axes.push_back(split ? fmt::format("{}", fmt::join(dims[static_cast<size_t>(axis)], "+")) : "-");
    }
    out.push_back(fmt::format("sharding: params.{} sizes=[{}] axes=[{}]", peer.path, fmt::join(sizes, ","),
                              fmt::join(axes, ",")));
  }
  return out;
}

}  // namespace fathom
