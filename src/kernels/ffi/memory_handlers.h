// FFI handler that hands out memory as it is (abi.h: kUninitialized).
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* uninitialized_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
