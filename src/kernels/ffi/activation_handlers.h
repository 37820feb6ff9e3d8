// FFI handlers of the activation (abi.h: kGatedSilu, kGatedSiluGrad).
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* gated_silu_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* gated_silu_grad_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
