// For tests: programs that call the kernels.
#pragma once

#include <vector>

#include "graph/emit/emit.h"
#include "kernels/ffi/handlers.h"
#include "runtime/client.h"
#include "runtime/ffi_table.h"

namespace fathom {

// Registers all kernels with the client's plugin. With these options programs call them, and one that could not is an
// error.
inline EmitOptions with_kernels(const Client& client) {
  EmitOptions options{.target = {.hardware = Hardware::kCpu, .kernels = {}}, .require_kernels = true};
  std::vector<FfiHandler> handlers;
  for (const KernelHandler& k : cpu_kernel_handlers()) {
    handlers.push_back({k.name, k.handler});
    options.target.kernels.emplace(k.name);
  }
  register_handlers(client.plugin(), handlers);
  return options;
}

}  // namespace fathom
