// Handlers of what a decoding step does with its cache.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* latent_attention_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* put_rows_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
