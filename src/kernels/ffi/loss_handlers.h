// FFI handlers of cross entropy (abi.h: kCrossEntropy, kCrossEntropyGrad).
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* cross_entropy_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* cross_entropy_grad_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
