// Handlers of products of few rows.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* gemv_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* gemv_int8_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
