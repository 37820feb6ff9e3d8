#include "kernels/ffi/grouped_handlers.h"

#include <string>

#include "kernels/ffi/checks.h"
#include "kernels/grouped.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

std::span<const int32_t> sizes_of(const ffi::Buffer<ffi::S32>& sizes) {
  return {sizes.typed_data(), sizes.element_count()};
}

// What is wrong with the operands of a product, or nothing.
std::string check_matmul(const ffi::AnyBuffer& x, const ffi::AnyBuffer& stack, const ffi::Buffer<ffi::S32>& group_sizes,
                         const ffi::Buffer<ffi::S32>& layer, const ffi::AnyBuffer& y, bool transposed) {
  auto w = stack.dimensions();
  if (w.size() != 4 || x.dimensions().size() != 2) return "x and y must have rank 2, the stack rank 4";
  int64_t n = w[2], k = w[3], m = x.dimensions()[0];
  if (x.dimensions()[1] != (transposed ? n : k) || !has_sizes(y, {m, transposed ? k : n}) ||
      static_cast<int64_t>(group_sizes.element_count()) != w[1]) {
    return "the sizes of x, the stack, the groups and y do not fit together";
  }
  ffi::DataType type = x.element_type();
  if (!supported(type) || stack.element_type() != type || y.element_type() != type) {
    return "x, the stack and y must all be f32 or all bf16";
  }
  return check_layer(layer, w[0]);
}

ffi::Error grouped_matmul_call(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer stack,
                               ffi::Buffer<ffi::S32> group_sizes, ffi::Buffer<ffi::S32> layer,
                               ffi::Result<ffi::AnyBuffer> y, int64_t transposed) noexcept {
  auto check = [&] { return check_matmul(x, stack, group_sizes, layer, *y, transposed != 0); };
  return checked_call("grouped_matmul", pool, check, [&](Parallel& parallel) {
    auto w = stack.dimensions();
    cpu::grouped_matmul({.dtype = kernel_dtype(x.element_type()),
                         .x = x.untyped_data(),
                         .weights = layer_of(stack, layer),
                         .y = y->untyped_data(),
                         .group_sizes = sizes_of(group_sizes),
                         .m = x.dimensions()[0],
                         .n = w[2],
                         .k = w[3],
                         .transposed = transposed != 0},
                        parallel);
  });
}

// What is wrong with the operands of an outer product, or nothing.
std::string check_outer(const ffi::AnyBuffer& a, const ffi::AnyBuffer& b, const ffi::Buffer<ffi::S32>& group_sizes,
                        const ffi::Buffer<ffi::S32>& layer, const ffi::AnyBuffer& stack, const ffi::AnyBuffer& out) {
  if (a.dimensions().size() != 2 || b.dimensions().size() != 2 || stack.dimensions().size() != 4) {
    return "a and b must have rank 2, the stack rank 4";
  }
  const int64_t layers = stack.dimensions()[0], groups = static_cast<int64_t>(group_sizes.element_count());
  if (b.dimensions()[0] != a.dimensions()[0] ||
      !has_sizes(stack, {layers, groups, a.dimensions()[1], b.dimensions()[1]})) {
    return "the sizes of a, b, the groups and the stack do not fit together";
  }
  ffi::DataType type = a.element_type();
  if (!supported(type) || b.element_type() != type || stack.element_type() != type) {
    return "a, b and the stack must all be f32 or all bf16";
  }
  if (out.untyped_data() != stack.untyped_data()) return "the result must lie in the memory of the stack";
  return check_layer(layer, layers);
}

ffi::Error grouped_outer_call(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b,
                              ffi::Buffer<ffi::S32> group_sizes, ffi::Buffer<ffi::S32> layer, ffi::AnyBuffer stack,
                              ffi::Result<ffi::AnyBuffer> out) noexcept {
  auto check = [&] { return check_outer(a, b, group_sizes, layer, stack, *out); };
  return checked_call("grouped_outer", pool, check, [&](Parallel& parallel) {
    cpu::grouped_outer({.dtype = kernel_dtype(a.element_type()),
                        .a = a.untyped_data(),
                        .b = b.untyped_data(),
                        .w = layer_of(stack, layer),
                        .group_sizes = sizes_of(group_sizes),
                        .m = a.dimensions()[0],
                        .n = a.dimensions()[1],
                        .k = b.dimensions()[1]},
                       parallel);
  });
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
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .To(grouped_outer_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
