#include "kernels/ffi/loss_handlers.h"

#include <algorithm>
#include <string>

#include "kernels/cross_entropy.h"
#include "kernels/ffi/checks.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

// Whether `x` has the axes of the logits without the last.
template <typename Buffer>
bool one_a_row(const Buffer& x, const ffi::AnyBuffer& logits) {
  auto have = x.dimensions(), want = logits.dimensions();
  return std::equal(have.begin(), have.end(), want.begin(), want.end() - 1);
}

// What is wrong with them, or nothing.
std::string check_inputs(const ffi::AnyBuffer& logits, const ffi::Buffer<ffi::S32>& targets) {
  if (logits.dimensions().size() == 0) return "the logits have no axis";
  if (!supported(logits.element_type())) return "the logits must be f32 or bf16";
  if (!one_a_row(targets, logits)) return "the sizes of logits and targets do not fit together";
  return {};
}

int64_t vocab_of(const ffi::AnyBuffer& logits) { return logits.dimensions().back(); }

ffi::Error cross_entropy_call(ffi::ThreadPool pool, ffi::AnyBuffer logits, ffi::Buffer<ffi::S32> targets,
                              ffi::Result<ffi::Buffer<ffi::F32>> log_z,
                              ffi::Result<ffi::Buffer<ffi::F32>> chosen) noexcept {
  auto check = [&] {
    std::string wrong = check_inputs(logits, targets);
    if (wrong.empty() && (!one_a_row(*log_z, logits) || !one_a_row(*chosen, logits))) {
      wrong = "the results do not fit the logits";
    }
    return wrong;
  };
  return checked_call("cross_entropy", pool, check, [&](Parallel& parallel) {
    cpu::cross_entropy({.dtype = kernel_dtype(logits.element_type()),
                        .rows = static_cast<int64_t>(targets.element_count()),
                        .vocab = vocab_of(logits),
                        .logits = logits.untyped_data(),
                        .targets = targets.typed_data(),
                        .log_z = log_z->typed_data(),
                        .chosen = chosen->typed_data()},
                       parallel);
  });
}

ffi::Error cross_entropy_grad_call(ffi::ThreadPool pool, ffi::AnyBuffer logits, ffi::Buffer<ffi::S32> targets,
                                   ffi::Buffer<ffi::F32> log_z, ffi::Buffer<ffi::F32> d_log_z,
                                   ffi::Buffer<ffi::F32> d_chosen, ffi::Result<ffi::AnyBuffer> d_logits) noexcept {
  auto check = [&] {
    std::string wrong = check_inputs(logits, targets);
    if (wrong.empty()) {
      auto have = d_logits->dimensions(), want = logits.dimensions();
      bool rows = one_a_row(log_z, logits) && one_a_row(d_log_z, logits) && one_a_row(d_chosen, logits);
      if (!rows || !std::equal(have.begin(), have.end(), want.begin(), want.end()) ||
          d_logits->element_type() != logits.element_type()) {
        wrong = "log_z, the cotangents or the result do not fit the logits";
      }
    }
    return wrong;
  };
  return checked_call("cross_entropy_grad", pool, check, [&](Parallel& parallel) {
    cpu::cross_entropy_grad({.dtype = kernel_dtype(logits.element_type()),
                             .rows = static_cast<int64_t>(targets.element_count()),
                             .vocab = vocab_of(logits),
                             .logits = logits.untyped_data(),
                             .targets = targets.typed_data(),
                             .log_z = log_z.typed_data(),
                             .d_log_z = d_log_z.typed_data(),
                             .d_chosen = d_chosen.typed_data(),
                             .d_logits = d_logits->untyped_data()},
                            parallel);
  });
}

}  // namespace

XLA_FFI_Error* cross_entropy_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Ret<ffi::Buffer<ffi::F32>>()
                             .Ret<ffi::Buffer<ffi::F32>>()
                             .To(cross_entropy_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* cross_entropy_grad_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Ret<ffi::AnyBuffer>()
                             .To(cross_entropy_grad_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
