// FFI handlers of the optimizer's passes (abi.h: kAdamW, kSumOfSquares).
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* adamw_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* sum_of_squares_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
