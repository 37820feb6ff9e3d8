// How much of a GPU's memory the process takes, and when: from the environment variables that users of JAX know.
#pragma once

#include "config/resolve/derive.h"

namespace fathom {

// Fills config.gpu_memory from XLA_PYTHON_CLIENT_MEM_FRACTION, XLA_PYTHON_CLIENT_PREALLOCATE and
// XLA_PYTHON_CLIENT_ALLOCATOR; what is unset or empty is left to the plugin. Adds a problem for a value that is none.
void derive_gpu_memory(Config& config, const DeriveInput& input, Problems& problems);

}  // namespace fathom
