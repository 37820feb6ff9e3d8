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
