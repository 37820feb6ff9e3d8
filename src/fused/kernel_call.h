// What the fused ops share whose form is a kernel of the plugin (kernels/abi.h).
#pragma once

#include <fmt/format.h>

#include "graph/fused_op.h"
#include "graph/ops.h"

namespace fathom {

// Whether the target has the kernel and the kernel takes the types of the first `arrays` operands; if not, `reason`
// says why.
inline bool takes_kernel(const Target& target, std::string_view kernel, const std::vector<Value>& operands,
                         size_t arrays, std::string& reason) {
  if (!target.has(kernel)) {
    reason = fmt::format("the target has no kernel {}", kernel);
    return false;
  }
  for (size_t i = 0; i < arrays; ++i) {
    DType dtype = operands[i].dtype();
    if (dtype == DType::kF32 || dtype == DType::kBF16) continue;
    reason = fmt::format("{} takes float32 and bfloat16, not {}", kernel, name(dtype));
    return false;
  }
  return true;
}

inline bool takes_kernel(const LoweringContext& c, std::string_view kernel, size_t arrays, std::string& reason) {
  return takes_kernel(c.target(), kernel, c.operands(), arrays, reason);
}

// A call of the kernel with the node's operands and results.
inline std::vector<Value> call_kernel(LoweringContext& c, std::string_view kernel,
                                      std::vector<std::pair<int, int>> aliases = {}) {
  CustomCall call{.target = std::string(kernel), .results = c.node().results, .aliases = std::move(aliases)};
  return custom_call(c.graph(), call, c.operands());
}

}  // namespace fathom
