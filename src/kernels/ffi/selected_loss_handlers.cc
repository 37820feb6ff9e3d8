#include "kernels/ffi/selected_loss_handlers.h"

#include <string>

#include "kernels/ffi/checks.h"
#include "kernels/selected_loss.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

// Both calls begin with them.
struct Operands {
  const ffi::AnyBuffer &q, &k;
  const ffi::Buffer<ffi::F32>& lse;
  const ffi::Buffer<ffi::S32>& keys;
  const ffi::AnyBuffer &iq, &ik;
  const ffi::Buffer<ffi::F32>& weights;
};

// What is wrong with them, or nothing; `a` gets them.
std::string check_inputs(const Operands& x, SelectedLoss& a) {
  if (x.q.dimensions().size() != 4 || x.k.dimensions().size() != 4 || x.iq.dimensions().size() != 4 ||
      x.keys.dimensions().size() != 3) {
    return "q, k and iq must have rank 4, the keys rank 3";
  }
  const SelectedShape n{.b = x.q.dimensions()[0],
                        .s = x.q.dimensions()[1],
                        .t = x.k.dimensions()[1],
                        .h = x.q.dimensions()[2],
                        .w = x.q.dimensions()[3],
                        .n = x.keys.dimensions()[2]};
  const int64_t g = x.iq.dimensions()[2], i = x.iq.dimensions()[3];
  if (!has_sizes(x.k, {n.b, n.t, n.h, n.w}) || !has_sizes(x.lse, {n.b, n.h, n.s}) ||
      !has_sizes(x.keys, {n.b, n.s, n.n}) || !has_sizes(x.iq, {n.b, n.s, g, i}) || !has_sizes(x.ik, {n.b, n.t, i}) ||
      !has_sizes(x.weights, {n.b, n.s, g})) {
    return "the sizes of the operands do not fit together";
  }
  ffi::DataType type = x.q.element_type();
  if (!supported(type) || x.k.element_type() != type || x.iq.element_type() != type || x.ik.element_type() != type) {
    return "q, k, iq and ik must all be f32 or all bf16";
  }
  a = {.dtype = kernel_dtype(type),
       .shape = n,
       .g = g,
       .i = i,
       .q = x.q.untyped_data(),
       .k = x.k.untyped_data(),
       .lse = x.lse.typed_data(),
       .keys = x.keys.typed_data(),
       .iq = x.iq.untyped_data(),
       .ik = x.ik.untyped_data(),
       .weights = x.weights.typed_data()};
  return {};
}

ffi::Error selected_loss_call(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer k, ffi::Buffer<ffi::F32> lse,
                              ffi::Buffer<ffi::S32> keys, ffi::AnyBuffer iq, ffi::AnyBuffer ik,
                              ffi::Buffer<ffi::F32> weights, ffi::Result<ffi::Buffer<ffi::F32>> kl) noexcept {
  SelectedLoss a;
  auto check = [&] {
    std::string wrong = check_inputs({q, k, lse, keys, iq, ik, weights}, a);
    if (wrong.empty() && !has_sizes(*kl, {a.shape.b, a.shape.s})) wrong = "the result does not fit the operands";
    return wrong;
  };
  return checked_call("selected_indexer_loss", pool, check,
                      [&](Parallel& parallel) { cpu::selected_loss(a, kl->typed_data(), parallel); });
}

ffi::Error selected_loss_grad_call(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer k, ffi::Buffer<ffi::F32> lse,
                                   ffi::Buffer<ffi::S32> keys, ffi::AnyBuffer iq, ffi::AnyBuffer ik,
                                   ffi::Buffer<ffi::F32> weights, ffi::Buffer<ffi::F32> d_kl,
                                   ffi::Result<ffi::AnyBuffer> d_iq, ffi::Result<ffi::AnyBuffer> d_ik,
                                   ffi::Result<ffi::Buffer<ffi::F32>> d_weights) noexcept {
  SelectedLoss a;
  auto check = [&] {
    std::string wrong = check_inputs({q, k, lse, keys, iq, ik, weights}, a);
    if (wrong.empty()) {
      const SelectedShape& n = a.shape;
      bool sizes = has_sizes(d_kl, {n.b, n.s}) && has_sizes(*d_iq, {n.b, n.s, a.g, a.i}) &&
                   has_sizes(*d_ik, {n.b, n.t, a.i}) && has_sizes(*d_weights, {n.b, n.s, a.g});
      bool types = d_iq->element_type() == q.element_type() && d_ik->element_type() == q.element_type();
      if (!sizes || !types) wrong = "d_kl or the results do not fit the other operands";
    }
    return wrong;
  };
  return checked_call("selected_indexer_loss_grad", pool, check, [&](Parallel& parallel) {
    cpu::selected_loss_grad({.loss = a,
                             .d_kl = d_kl.typed_data(),
                             .d_iq = d_iq->untyped_data(),
                             .d_ik = d_ik->untyped_data(),
                             .d_weights = d_weights->typed_data()},
                            parallel);
  });
}

}  // namespace

XLA_FFI_Error* selected_loss_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Ret<ffi::Buffer<ffi::F32>>()
                             .To(selected_loss_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* selected_loss_grad_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::Buffer<ffi::F32>>()
                             .To(selected_loss_grad_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
