// Values that wait in the host's memory for the backward pass.
#pragma once

#include <string_view>

#include "graph/ops.h"

namespace fathom {

// The custom call that moves a value between memories, as JAX spells it; on a CPU, whose memory is the host's, the
// lowering takes it away. Its one attribute of `config` is XLA's name of the memory.
inline constexpr std::string_view kPlacementCall = "annotate_device_placement";

// The value in the host's memory, where it takes no room on the device, and back from there.
Value to_host(Value x, Where w = Where::current());
Value from_host(Value x, Where w = Where::current());

}  // namespace fathom
