#include "kernels/ffi/selected_handlers.h"

#include <initializer_list>
#include <string>

#include "kernels/ffi/checks.h"
#include "kernels/selected_attention.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

using Sizes = std::initializer_list<int64_t>;

// What is wrong with them, or nothing; `n` gets their sizes.
std::string check_inputs(const ffi::AnyBuffer& q, const ffi::AnyBuffer& k, const ffi::AnyBuffer& v,
                         const ffi::Buffer<ffi::S32>& keys, SelectedShape& n) {
  if (q.dimensions().size() != 4 || k.dimensions().size() != 4 || v.dimensions().size() != 4 ||
      keys.dimensions().size() != 3) {
    return "q, k and v must have rank 4, the keys rank 3";
  }
  n = {.b = q.dimensions()[0],
       .s = q.dimensions()[1],
       .t = k.dimensions()[1],
       .h = q.dimensions()[2],
       .w = q.dimensions()[3],
       .u = v.dimensions()[3],
       .n = keys.dimensions()[2]};
  if (!has_sizes(k, {n.b, n.t, n.h, n.w}) || !has_sizes(v, {n.b, n.t, n.h, n.u}) || !has_sizes(keys, {n.b, n.s, n.n})) {
    return "the sizes of q, k, v and the keys do not fit together";
  }
  ffi::DataType type = q.element_type();
  if (!supported(type) || k.element_type() != type || v.element_type() != type) {
    return "q, k and v must all be f32 or all bf16";
  }
  return {};
}

ffi::Error selected_attention_call(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer k, ffi::AnyBuffer v,
                                   ffi::Buffer<ffi::S32> keys, ffi::Result<ffi::AnyBuffer> out,
                                   ffi::Result<ffi::Buffer<ffi::F32>> lse) noexcept {
  SelectedShape n;
  auto check = [&]() -> std::string {
    std::string wrong = check_inputs(q, k, v, keys, n);
    if (wrong.empty() && (!has_sizes(*out, {n.b, n.s, n.h, n.u}) || !has_sizes(*lse, {n.b, n.h, n.s}) ||
                          out->element_type() != q.element_type())) {
      wrong = "the results do not fit the operands";
    }
    return wrong;
  };
  return checked_call("selected_attention", pool, check, [&](Parallel& parallel) {
    cpu::selected_attention({.dtype = kernel_dtype(q.element_type()),
                             .shape = n,
                             .q = q.untyped_data(),
                             .k = k.untyped_data(),
                             .v = v.untyped_data(),
                             .keys = keys.typed_data(),
                             .out = out->untyped_data(),
                             .lse = lse->typed_data()},
                            parallel);
  });
}

ffi::Error selected_attention_grad_call(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer k, ffi::AnyBuffer v,
                                        ffi::Buffer<ffi::S32> keys, ffi::Buffer<ffi::F32> lse, ffi::AnyBuffer d_out,
                                        ffi::Buffer<ffi::F32> delta, ffi::Result<ffi::AnyBuffer> d_q,
                                        ffi::Result<ffi::AnyBuffer> d_k, ffi::Result<ffi::AnyBuffer> d_v) noexcept {
  SelectedShape n;
  auto check = [&]() -> std::string {
    std::string wrong = check_inputs(q, k, v, keys, n);
    if (wrong.empty()) {
      const Sizes row{n.b, n.h, n.s}, value{n.b, n.s, n.h, n.u};
      bool sizes = has_sizes(lse, row) && has_sizes(delta, row) && has_sizes(d_out, value) &&
                   has_sizes(*d_q, {n.b, n.s, n.h, n.w}) && has_sizes(*d_k, {n.b, n.t, n.h, n.w}) &&
                   has_sizes(*d_v, {n.b, n.t, n.h, n.u});
      ffi::DataType type = q.element_type();
      bool types = d_out.element_type() == type && d_q->element_type() == type && d_k->element_type() == type &&
                   d_v->element_type() == type;
      if (!sizes || !types) wrong = "lse, d_out, delta or the results do not fit q, k and v";
    }
    return wrong;
  };
  return checked_call("selected_attention_grad", pool, check, [&](Parallel& parallel) {
    cpu::selected_attention_grad({.dtype = kernel_dtype(q.element_type()),
                                  .shape = n,
                                  .q = q.untyped_data(),
                                  .k = k.untyped_data(),
                                  .v = v.untyped_data(),
                                  .keys = keys.typed_data(),
                                  .lse = lse.typed_data(),
                                  .d_out = d_out.untyped_data(),
                                  .delta = delta.typed_data(),
                                  .d_q = d_q->untyped_data(),
                                  .d_k = d_k->untyped_data(),
                                  .d_v = d_v->untyped_data()},
                                 parallel);
  });
}

}  // namespace

XLA_FFI_Error* selected_attention_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::Buffer<ffi::F32>>()
                             .To(selected_attention_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* selected_attention_grad_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .To(selected_attention_grad_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
