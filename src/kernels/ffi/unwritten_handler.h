// Handler of the array that nobody has written yet.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* unwritten_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
