// What the fused ops share that go over an array element by element, whatever its shape.
#pragma once

#include <fmt/format.h>

#include "graph/fused_op.h"

namespace fathom {

// Whether the target has the kernel and the kernel takes the types of the first `arrays` operands; if not, `reason`
// says why.
inline bool takes_arrays(const LoweringContext& c, std::string_view kernel, size_t arrays, std::string& reason) {
  if (!c.target().has(kernel)) {
    reason = fmt::format("the target has no kernel {}", kernel);
    return false;
  }
  for (size_t i = 0; i < arrays; ++i) {
    DType dtype = c.operands()[i].dtype();
    if (dtype == DType::kF32 || dtype == DType::kBF16) continue;
    reason = fmt::format("{} takes float32 and bfloat16, not {}", kernel, name(dtype));
    return false;
  }
  return true;
}

// The mesh axes that split an array.
inline std::vector<std::string> split_axes(const Sharding& sharding) {
  std::vector<std::string> out;
  for (const auto& dim : sharding.dims) out.insert(out.end(), dim.begin(), dim.end());
  return out;
}

}  // namespace fathom
