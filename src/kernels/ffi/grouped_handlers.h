// Handlers of the grouped products.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* grouped_matmul_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* grouped_outer_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
