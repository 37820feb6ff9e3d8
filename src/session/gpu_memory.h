// How much of a GPU's memory the process takes, and when: from the environment variables that users of JAX know.
#pragma once

#include "base/environment.h"
#include "config/config.h"
#include "config/problems.h"
#include "runtime/named_value.h"

namespace fathom {

// The options of the CUDA plugin that XLA_PYTHON_CLIENT_MEM_FRACTION, XLA_PYTHON_CLIENT_PREALLOCATE and
// XLA_PYTHON_CLIENT_ALLOCATOR ask for; what is unset or empty is left to the plugin. Adds a problem for a value that is
// none. Other hardware has no such options.
NamedValues gpu_memory_options(Hardware hardware, const Environment& environment, Problems& problems);

// The same as a check of ResolveOptions.
void check_gpu_memory(const Config& config, const Environment& environment, Problems& problems);

}  // namespace fathom
