#include "kernels/ffi/memory_handlers.h"

#include "xla/ffi/api/ffi.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

// The plugin has allocated the result; nothing is to be done.
ffi::Error uninitialized_call(ffi::Result<ffi::AnyBuffer>, int64_t) noexcept { return ffi::Error::Success(); }

}  // namespace

XLA_FFI_Error* uninitialized_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind().Ret<ffi::AnyBuffer>().Attr<int64_t>("slot").To(uninitialized_call).release();
  return handler->Call(frame);
}

}  // namespace fathom
