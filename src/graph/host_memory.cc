#include "graph/host_memory.h"

#include <fmt/format.h>

namespace fathom {
namespace {

Value placed(Value x, std::string_view memory, Where w) {
  CustomCall call{.target = std::string(kPlacementCall), .results = {x.type()}};
  call.config = {{"_xla_buffer_placement", fmt::format("\"{}\"", memory)}};
  return custom_call(x.graph(), call, {x}, w)[0];
}

}  // namespace

Value to_host(Value x, Where w) { return placed(x, "pinned_host", w); }
Value from_host(Value x, Where w) { return placed(x, "device", w); }

}  // namespace fathom
