#include "kernels/ffi/loss_handlers.h"

#include <algorithm>
#include <exception>
#include <string>

#include "kernels/cross_entropy.h"
#include "kernels/ffi/pool.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

ffi::Error invalid(const std::string& message) { return {ffi::ErrorCode::kInvalidArgument, message}; }

DType kernel_dtype(ffi::DataType type) { return type == ffi::BF16 ? DType::kBF16 : DType::kF32; }
bool supported(ffi::DataType type) { return type == ffi::F32 || type == ffi::BF16; }

// Whether `x` has the axes of the logits without the last.
template <typename Buffer>
bool one_a_row(const Buffer& x, const ffi::AnyBuffer& logits) {
  auto have = x.dimensions(), want = logits.dimensions();
  return std::equal(have.begin(), have.end(), want.begin(), want.end() - 1);
}

// Shapes and types are checked because a wrong program would otherwise read beyond the arrays. Empty when all is well,
// otherwise what is wrong.
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
  try {
    std::string wrong = check_inputs(logits, targets);
    if (wrong.empty() && (!one_a_row(*log_z, logits) || !one_a_row(*chosen, logits))) {
      wrong = "the results do not fit the logits";
    }
    if (!wrong.empty()) return invalid("cross_entropy: " + wrong);
    PluginPool parallel(pool);
    cpu::cross_entropy({.dtype = kernel_dtype(logits.element_type()),
                        .rows = static_cast<int64_t>(targets.element_count()),
                        .vocab = vocab_of(logits),
                        .logits = logits.untyped_data(),
                        .targets = targets.typed_data(),
                        .log_z = log_z->typed_data(),
                        .chosen = chosen->typed_data()},
                       parallel);
    return ffi::Error::Success();
  } catch (const std::exception& e) {
    return {ffi::ErrorCode::kInternal, std::string("cross_entropy: ") + e.what()};
  }
}

ffi::Error cross_entropy_grad_call(ffi::ThreadPool pool, ffi::AnyBuffer logits, ffi::Buffer<ffi::S32> targets,
                                   ffi::Buffer<ffi::F32> log_z, ffi::Buffer<ffi::F32> d_log_z,
                                   ffi::Buffer<ffi::F32> d_chosen, ffi::Result<ffi::AnyBuffer> d_logits) noexcept {
  try {
    std::string wrong = check_inputs(logits, targets);
    if (wrong.empty()) {
      auto have = d_logits->dimensions(), want = logits.dimensions();
      bool rows = one_a_row(log_z, logits) && one_a_row(d_log_z, logits) && one_a_row(d_chosen, logits);
      if (!rows || !std::equal(have.begin(), have.end(), want.begin(), want.end()) ||
          d_logits->element_type() != logits.element_type()) {
        wrong = "log_z, the cotangents or the result do not fit the logits";
      }
    }
    if (!wrong.empty()) return invalid("cross_entropy_grad: " + wrong);
    PluginPool parallel(pool);
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
    return ffi::Error::Success();
  } catch (const std::exception& e) {
    return {ffi::ErrorCode::kInternal, std::string("cross_entropy_grad: ") + e.what()};
  }
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
