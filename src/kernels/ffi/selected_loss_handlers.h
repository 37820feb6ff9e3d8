// Handlers of the indexer's loss over lists of keys.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* selected_loss_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* selected_loss_grad_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
