// Handlers of the indexer's choice of keys.
#pragma once

#include "xla/ffi/api/c_api.h"

namespace fathom {

XLA_FFI_Error* indexer_selection_handler(XLA_FFI_CallFrame* frame);
XLA_FFI_Error* indexer_keys_handler(XLA_FFI_CallFrame* frame);

}  // namespace fathom
