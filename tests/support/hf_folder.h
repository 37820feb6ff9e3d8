// For tests: a model's arrays from a Hugging Face folder.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "checkpoint/safetensors_folder.h"
#include "model/params.h"

namespace fathom {

// The names of the tensors that one array is made of, in the order of their bytes.
inline std::vector<std::string> hf_names(const ModelConfig& config, const Param& row, const ParamArray& array) {
  std::vector<std::string> out;
  const Stack stack = row.stack ? stacks(config)[*row.stack] : Stack{.count = 1};
  const bool experts = row.hf.find("{expert}") != std::string::npos;
  const int64_t first = array.layer >= 0 ? array.layer : 0;
  const int64_t last = array.layer >= 0 ? first + 1 : stack.count;
  for (int64_t layer = first; layer < last; ++layer) {
    for (int64_t e = 0; e < (experts ? config.experts : 1); ++e) {
      out.push_back(fmt::format(fmt::runtime(row.hf), fmt::arg("layer", stack.first + layer), fmt::arg("expert", e)));
    }
  }
  return out;
}

// One array of the program, its tensors one after another; float32.
inline HostArray hf_array(const ModelConfig& config, const Param& row, const ParamArray& array,
                          const TensorFolder& folder) {
  HostArray out = HostArray::allocate(array.type.dtype, array.type.shape.sizes());
  std::byte* to = out.mutable_data();
  for (const std::string& name : hf_names(config, row, array)) {
    const HostArray from = folder.tensor(name);
    if (from.sizes() != row.hf_sizes || from.dtype() != out.dtype())
      throw std::runtime_error(name + ": another shape or type");
    std::memcpy(to, from.data(), static_cast<size_t>(from.bytes()));
    to += from.bytes();
  }
  return out;
}

}  // namespace fathom
