// Handlers of attention over lists of keys.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* selected_attention_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* selected_attention_grad_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
