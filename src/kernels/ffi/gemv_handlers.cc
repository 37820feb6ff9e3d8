#include "kernels/ffi/gemv_handlers.h"

#include <string>

#include "kernels/ffi/checks.h"
#include "kernels/gemv.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;
using Index = ffi::Buffer<ffi::S32>;

struct Operands {
  ffi::AnyBuffer x, stack;
  Index which, layer;
  ffi::AnyBuffer y;
  int64_t transposed, first, count;

  Gemv args() const {
    auto w = stack.dimensions();
    return {.dtype = kernel_dtype(x.element_type()),
            .weight_dtype = stack.element_type() == ffi::S8 ? DType::kS8 : kernel_dtype(stack.element_type()),
            .y_dtype = kernel_dtype(y.element_type()),
            .x = x.untyped_data(),
            .weights = layer_of(stack, layer),
            .y = const_cast<void*>(y.untyped_data()),
            .which = {which.typed_data(), which.element_count()},
            .matrices = w[1],
            .height = w[2],
            .first = first,
            .n = count,
            .k = w[3],
            .transposed = transposed != 0};
  }

  // What is wrong with them, or nothing.
  std::string check() const {
    auto w = stack.dimensions();
    if (w.size() != 4 || x.dimensions().size() != 2) return "x and y must have rank 2, the stack rank 4";
    if (first < 0 || count < 0 || first + count > w[2]) return "the rows are not those of a matrix";
    const auto rows = static_cast<int64_t>(which.element_count());
    if (!has_sizes(x, {rows, transposed ? count : w[3]}) || !has_sizes(y, {rows, transposed ? w[3] : count})) {
      return "the sizes of x, the stack, the choice and y do not fit together";
    }
    if (!supported(x.element_type()) || !supported(y.element_type())) return "x and y must be f32 or bf16";
    return check_layer(layer, w[0]);
  }
};

ffi::Error gemv_call(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer stack, Index which, Index layer,
                     ffi::Result<ffi::AnyBuffer> y, int64_t transposed, int64_t first, int64_t count) noexcept {
  const Operands in{x, stack, which, layer, *y, transposed, first, count};
  auto check = [&] { return supported(stack.element_type()) ? in.check() : "the stack must be f32 or bf16"; };
  return checked_call("gemv", pool, check, [&](Parallel& parallel) { cpu::gemv(in.args(), parallel); });
}

ffi::Error gemv_int8_call(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer stack, ffi::Buffer<ffi::F32> scales,
                          Index which, Index layer, ffi::Result<ffi::AnyBuffer> y, int64_t transposed, int64_t first,
                          int64_t count) noexcept {
  const Operands in{x, stack, which, layer, *y, transposed, first, count};
  auto check = [&]() -> std::string {
    if (stack.element_type() != ffi::S8) return "the stack must be s8";
    if (std::string wrong = in.check(); !wrong.empty()) return wrong;
    auto w = stack.dimensions();
    return has_sizes(scales, {w[0], w[1], w[2], scale_groups(w[3])}) ? "" : "there must be a scale for every group";
  };
  return checked_call("gemv_int8", pool, check, [&](Parallel& parallel) {
    Gemv args = in.args();
    auto s = scales.dimensions();
    args.scales = scales.typed_data() + layer.typed_data()[0] * s[1] * s[2] * s[3];
    cpu::gemv(args, parallel);
  });
}

}  // namespace

XLA_FFI_Error* gemv_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<Index>()
                             .Arg<Index>()
                             .Ret<ffi::AnyBuffer>()
                             .Attr<int64_t>("transposed")
                             .Attr<int64_t>("first")
                             .Attr<int64_t>("count")
                             .To(gemv_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* gemv_int8_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<Index>()
                             .Arg<Index>()
                             .Ret<ffi::AnyBuffer>()
                             .Attr<int64_t>("transposed")
                             .Attr<int64_t>("first")
                             .Attr<int64_t>("count")
                             .To(gemv_int8_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
