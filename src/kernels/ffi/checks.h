// What the handlers share: which types the kernels take, and a call that is checked before its kernel runs on the
// plugin's pool.
#pragma once

#include <algorithm>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "kernels/ffi/pool.h"
#include "xla/ffi/api/ffi.h"

namespace fathom {

inline bool supported(xla::ffi::DataType type) { return type == xla::ffi::F32 || type == xla::ffi::BF16; }

// Of a supported type.
inline DType kernel_dtype(xla::ffi::DataType type) { return type == xla::ffi::BF16 ? DType::kBF16 : DType::kF32; }

template <typename Buffer>
bool has_sizes(const Buffer& x, std::initializer_list<int64_t> sizes) {
  auto have = x.dimensions();
  return std::equal(have.begin(), have.end(), sizes.begin(), sizes.end());
}

// What is wrong with the place in a stack of `layers`, or nothing.
inline std::string check_layer(const xla::ffi::Buffer<xla::ffi::S32>& layer, int64_t layers) {
  if (layer.element_count() != 1) return "the layer index must be one number";
  const int64_t index = layer.typed_data()[0];
  return index < 0 || index >= layers ? "the layer index is outside the stack" : "";
}

// One layer of a stack of checked `layer`.
inline void* layer_of(const xla::ffi::AnyBuffer& stack, const xla::ffi::Buffer<xla::ffi::S32>& layer) {
  const size_t each = stack.size_bytes() / static_cast<size_t>(stack.dimensions()[0]);
  return static_cast<char*>(stack.untyped_data()) + static_cast<size_t>(layer.typed_data()[0]) * each;
}

inline xla::ffi::Error failed(xla::ffi::ErrorCode code, std::string_view kernel, std::string_view what) {
  return {code, std::string(kernel) + ": " + std::string(what)};
}

// Calls `check`, which says what is wrong with the operands (nothing when all is well: a wrong program would otherwise
// read beyond the arrays), then `kernel` with the plugin's pool. A kernel refuses numbers that it cannot work with by
// std::invalid_argument. `name` stands in front of every message.
template <typename Check, typename Kernel>
xla::ffi::Error checked_call(std::string_view name, xla::ffi::ThreadPool pool, const Check& check,
                             const Kernel& kernel) noexcept {
  try {
    if (std::string wrong = check(); !wrong.empty()) return failed(xla::ffi::ErrorCode::kInvalidArgument, name, wrong);
    PluginPool parallel(pool);
    kernel(parallel);
    return xla::ffi::Error::Success();
  } catch (const std::invalid_argument& e) {
    return failed(xla::ffi::ErrorCode::kInvalidArgument, name, e.what());
  } catch (const std::exception& e) {
    return failed(xla::ffi::ErrorCode::kInternal, name, e.what());
  }
}

}  // namespace fathom
