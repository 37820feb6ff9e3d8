#include "kernels/ffi/grouped_handlers.h"

#include <exception>
#include <string>

#include "kernels/ffi/pool.h"
#include "kernels/grouped.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

ffi::Error invalid(const std::string& message) { return {ffi::ErrorCode::kInvalidArgument, message}; }

// Shapes and types are checked because a wrong program would otherwise read beyond the arrays.
DType kernel_dtype(ffi::DataType type) { return type == ffi::BF16 ? DType::kBF16 : DType::kF32; }
bool supported(ffi::DataType type) { return type == ffi::F32 || type == ffi::BF16; }

std::span<const int32_t> sizes_of(const ffi::Buffer<ffi::S32>& sizes) {
  return {sizes.typed_data(), sizes.element_count()};
}

ffi::Error grouped_matmul_call(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer stack,
                               ffi::Buffer<ffi::S32> group_sizes, ffi::Buffer<ffi::S32> layer,
                               ffi::Result<ffi::AnyBuffer> y, int64_t transposed) noexcept {
  try {
    auto w = stack.dimensions();
    if (w.size() != 4 || x.dimensions().size() != 2 || y->dimensions().size() != 2) {
      return invalid("grouped_matmul: x and y must have rank 2, the stack rank 4");
    }
    int64_t n = w[2], k = w[3], m = x.dimensions()[0];
    bool fits = x.dimensions()[1] == (transposed != 0 ? n : k) && y->dimensions()[1] == (transposed != 0 ? k : n) &&
                y->dimensions()[0] == m && static_cast<int64_t>(group_sizes.element_count()) == w[1];
    if (!fits) return invalid("grouped_matmul: the sizes of x, the stack, the groups and y do not fit together");
    if (!supported(x.element_type()) || x.element_type() != stack.element_type() ||
        x.element_type() != y->element_type()) {
      return invalid("grouped_matmul: x, the stack and y must all be f32 or all bf16");
    }
    int64_t index = layer.typed_data()[0];
    if (index < 0 || index >= w[0]) return invalid("grouped_matmul: the layer index is outside the stack");
    DType dtype = kernel_dtype(x.element_type());
    PluginPool parallel(pool);
    cpu::grouped_matmul(
        {.dtype = dtype,
         .x = x.untyped_data(),
         .weights = static_cast<const char*>(stack.untyped_data()) + index * w[1] * n * k * byte_size(dtype),
         .y = y->untyped_data(),
         .group_sizes = sizes_of(group_sizes),
         .m = m,
         .n = n,
         .k = k,
         .transposed = transposed != 0},
        parallel);
    return ffi::Error::Success();
  } catch (const std::exception& e) {
    return {ffi::ErrorCode::kInternal, std::string("grouped_matmul: ") + e.what()};
  }
}

ffi::Error grouped_outer_call(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b,
                              ffi::Buffer<ffi::S32> group_sizes, ffi::Result<ffi::AnyBuffer> w) noexcept {
  try {
    auto sizes = w->dimensions();
    if (a.dimensions().size() != 2 || b.dimensions().size() != 2 || sizes.size() != 3) {
      return invalid("grouped_outer: a and b must have rank 2, w rank 3");
    }
    int64_t m = a.dimensions()[0];
    bool fits = b.dimensions()[0] == m && a.dimensions()[1] == sizes[1] && b.dimensions()[1] == sizes[2] &&
                static_cast<int64_t>(group_sizes.element_count()) == sizes[0];
    if (!fits) return invalid("grouped_outer: the sizes of a, b, the groups and w do not fit together");
    if (!supported(a.element_type()) || a.element_type() != b.element_type() || a.element_type() != w->element_type()) {
      return invalid("grouped_outer: a, b and w must all be f32 or all bf16");
    }
    PluginPool parallel(pool);
    cpu::grouped_outer({.dtype = kernel_dtype(a.element_type()),
                        .a = a.untyped_data(),
                        .b = b.untyped_data(),
                        .w = w->untyped_data(),
                        .group_sizes = sizes_of(group_sizes),
                        .m = m,
                        .n = sizes[1],
                        .k = sizes[2]},
                       parallel);
    return ffi::Error::Success();
  } catch (const std::exception& e) {
    return {ffi::ErrorCode::kInternal, std::string("grouped_outer: ") + e.what()};
  }
}

}  // namespace

XLA_FFI_Error* grouped_matmul_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Ret<ffi::AnyBuffer>()
                             .Attr<int64_t>("transposed")
                             .To(grouped_matmul_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* grouped_outer_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Ret<ffi::AnyBuffer>()
                             .To(grouped_outer_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
