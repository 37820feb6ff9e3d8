#include "kernels/ffi/handlers.h"

#include "kernels/abi.h"
#include "kernels/ffi/attention_handlers.h"
#include "kernels/ffi/grouped_handlers.h"

namespace fathom {

const std::vector<KernelHandler>& cpu_kernel_handlers() {
  static const std::vector<KernelHandler> kHandlers = {
      {abi::kGroupedMatmul.data(), reinterpret_cast<void*>(&grouped_matmul_handler)},
      {abi::kGroupedOuter.data(), reinterpret_cast<void*>(&grouped_outer_handler)},
      {abi::kFlashAttention.data(), reinterpret_cast<void*>(&flash_attention_handler)},
      {abi::kFlashAttentionGrad.data(), reinterpret_cast<void*>(&flash_attention_grad_handler)},
  };
  return kHandlers;
}

}  // namespace fathom
