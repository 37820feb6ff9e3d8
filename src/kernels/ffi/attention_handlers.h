// Handlers of attention.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* flash_attention_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* flash_attention_grad_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
