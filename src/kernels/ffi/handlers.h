// The kernels as handlers of XLA's foreign-function interface, under the names of abi.h.
#pragma once

#include <vector>

namespace fathom {

struct KernelHandler {
  const char* name;
  void* handler;  // XLA_FFI_Handler*
};

// Every kernel that this build has for the CPU plugins.
const std::vector<KernelHandler>& cpu_kernel_handlers();

}  // namespace fathom
