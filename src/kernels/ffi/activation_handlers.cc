#include "kernels/ffi/activation_handlers.h"

#include <string>

#include "kernels/ffi/checks.h"
#include "kernels/gated_silu.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

// What is wrong with arrays that are to be of one type and size, or nothing.
std::string check_alike(std::initializer_list<const ffi::AnyBuffer*> arrays) {
  const ffi::AnyBuffer& first = **arrays.begin();
  if (!supported(first.element_type())) return "the arrays must be f32 or bf16";
  for (const ffi::AnyBuffer* x : arrays) {
    if (x->element_type() != first.element_type()) return "the arrays have different types";
    if (x->element_count() != first.element_count()) return "the arrays have different sizes";
  }
  return {};
}

ffi::Error gated_silu_call(ffi::ThreadPool pool, ffi::AnyBuffer gate, ffi::AnyBuffer up,
                           ffi::Result<ffi::AnyBuffer> y) noexcept {
  auto check = [&] { return check_alike({&gate, &up, &*y}); };
  return checked_call("gated_silu", pool, check, [&](Parallel& parallel) {
    cpu::gated_silu({.dtype = kernel_dtype(gate.element_type()),
                     .count = static_cast<int64_t>(gate.element_count()),
                     .gate = gate.untyped_data(),
                     .up = up.untyped_data(),
                     .y = y->untyped_data()},
                    parallel);
  });
}

ffi::Error gated_silu_grad_call(ffi::ThreadPool pool, ffi::AnyBuffer gate, ffi::AnyBuffer up, ffi::AnyBuffer d,
                                ffi::Result<ffi::AnyBuffer> d_gate, ffi::Result<ffi::AnyBuffer> d_up) noexcept {
  auto check = [&] { return check_alike({&gate, &up, &d, &*d_gate, &*d_up}); };
  return checked_call("gated_silu_grad", pool, check, [&](Parallel& parallel) {
    cpu::gated_silu_grad({.dtype = kernel_dtype(gate.element_type()),
                          .count = static_cast<int64_t>(gate.element_count()),
                          .gate = gate.untyped_data(),
                          .up = up.untyped_data(),
                          .d = d.untyped_data(),
                          .d_gate = d_gate->untyped_data(),
                          .d_up = d_up->untyped_data()},
                         parallel);
  });
}

}  // namespace

XLA_FFI_Error* gated_silu_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .To(gated_silu_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* gated_silu_grad_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .To(gated_silu_grad_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
