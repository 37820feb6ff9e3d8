#include "kernels/ffi/optimizer_handlers.h"

#include <string>

#include "kernels/adamw.h"
#include "kernels/ffi/checks.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

using Scalar = ffi::BufferR0<ffi::F32>;

// The arrays of a step; results are in the memory of the operands.
struct Arrays {
  ffi::AnyBuffer gradient, parameter, mu, nu, next_parameter, next_mu, next_nu;
};

// What is wrong with them, or nothing: a wrong program would also update a copy.
std::string check_arrays(const Arrays& a) {
  for (const ffi::AnyBuffer* x : {&a.gradient, &a.parameter, &a.mu, &a.nu}) {
    if (!supported(x->element_type())) return "the arrays must be f32 or bf16";
    if (x->element_count() != a.parameter.element_count()) return "the arrays have different sizes";
  }
  if (a.nu.element_type() != a.parameter.element_type()) return "nu must be of the parameter's type";
  if (a.next_parameter.untyped_data() != a.parameter.untyped_data() ||
      a.next_mu.untyped_data() != a.mu.untyped_data() || a.next_nu.untyped_data() != a.nu.untyped_data()) {
    return "the results must be in the memory of parameter, mu and nu";
  }
  return {};
}

ffi::Error adamw_call(ffi::ThreadPool pool, ffi::AnyBuffer gradient, ffi::AnyBuffer parameter, ffi::AnyBuffer mu,
                      ffi::AnyBuffer nu, Scalar rate, Scalar mu_scale, Scalar nu_scale, Scalar clip,
                      ffi::Result<ffi::AnyBuffer> next_parameter, ffi::Result<ffi::AnyBuffer> next_mu,
                      ffi::Result<ffi::AnyBuffer> next_nu, ffi::Result<Scalar> squares, double b1, double b2,
                      double eps, double eps_root, double weight_decay) noexcept {
  auto check = [&] { return check_arrays({gradient, parameter, mu, nu, *next_parameter, *next_mu, *next_nu}); };
  return checked_call("adamw", pool, check, [&](Parallel& parallel) {
    squares->typed_data()[0] = cpu::adamw({.count = static_cast<int64_t>(parameter.element_count()),
                                           .gradient_dtype = kernel_dtype(gradient.element_type()),
                                           .parameter_dtype = kernel_dtype(parameter.element_type()),
                                           .mu_dtype = kernel_dtype(mu.element_type()),
                                           .gradient = gradient.untyped_data(),
                                           .parameter = parameter.untyped_data(),
                                           .mu = mu.untyped_data(),
                                           .nu = nu.untyped_data(),
                                           .rate = rate.typed_data()[0],
                                           .mu_scale = mu_scale.typed_data()[0],
                                           .nu_scale = nu_scale.typed_data()[0],
                                           .clip = clip.typed_data()[0],
                                           .b1 = b1,
                                           .b2 = b2,
                                           .eps = eps,
                                           .eps_root = eps_root,
                                           .weight_decay = weight_decay},
                                          parallel);
  });
}

ffi::Error sum_of_squares_call(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::Result<Scalar> squares) noexcept {
  auto check = [&] { return std::string(supported(x.element_type()) ? "" : "the array must be f32 or bf16"); };
  return checked_call("sum_of_squares", pool, check, [&](Parallel& parallel) {
    squares->typed_data()[0] = cpu::sum_of_squares(kernel_dtype(x.element_type()), x.untyped_data(),
                                                   static_cast<int64_t>(x.element_count()), parallel);
  });
}

}  // namespace

XLA_FFI_Error* adamw_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<Scalar>()
                             .Arg<Scalar>()
                             .Arg<Scalar>()
                             .Arg<Scalar>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Ret<Scalar>()
                             .Attr<double>("b1")
                             .Attr<double>("b2")
                             .Attr<double>("eps")
                             .Attr<double>("eps_root")
                             .Attr<double>("weight_decay")
                             .To(adamw_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* sum_of_squares_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler =
      ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::AnyBuffer>().Ret<Scalar>().To(sum_of_squares_call).release();
  return handler->Call(frame);
}

}  // namespace fathom
