// The kernels as handlers of XLA's foreign-function interface, under the names of abi.h.
#pragma once

#include <cstdint>
#include <vector>

namespace fathom {

struct KernelHandler {
  const char* name;
  void* handler;  // XLA_FFI_Handler*
};

// Every kernel that this build has for the CPU plugins.
const std::vector<KernelHandler>& cpu_kernel_handlers();

// A profiler's, or null: called by each kernel that hands work to other threads. What it returns stands on the stacks
// of those threads while they do the work.
using CallProbe = uint64_t (*)();
void set_call_probe(CallProbe probe);

}  // namespace fathom
