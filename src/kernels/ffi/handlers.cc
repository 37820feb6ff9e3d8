#include "kernels/ffi/handlers.h"

#include "kernels/abi.h"
#include "kernels/ffi/activation_handlers.h"
#include "kernels/ffi/attention_handlers.h"
#include "kernels/ffi/cache_handlers.h"
#include "kernels/ffi/gemv_handlers.h"
#include "kernels/ffi/grouped_handlers.h"
#include "kernels/ffi/indexer_handlers.h"
#include "kernels/ffi/loss_handlers.h"
#include "kernels/ffi/memory_handlers.h"
#include "kernels/ffi/optimizer_handlers.h"
#include "kernels/ffi/selected_handlers.h"
#include "kernels/ffi/selected_loss_handlers.h"

namespace fathom {

const std::vector<KernelHandler>& cpu_kernel_handlers() {
  static const std::vector<KernelHandler> kHandlers = {
      {abi::kGroupedMatmul.data(), reinterpret_cast<void*>(&grouped_matmul_handler)},
      {abi::kGroupedOuter.data(), reinterpret_cast<void*>(&grouped_outer_handler)},
      {abi::kGemv.data(), reinterpret_cast<void*>(&gemv_handler)},
      {abi::kGemvInt8.data(), reinterpret_cast<void*>(&gemv_int8_handler)},
      {abi::kLatentAttention.data(), reinterpret_cast<void*>(&latent_attention_handler)},
      {abi::kPutRows.data(), reinterpret_cast<void*>(&put_rows_handler)},
      {abi::kFlashAttention.data(), reinterpret_cast<void*>(&flash_attention_handler)},
      {abi::kFlashAttentionGrad.data(), reinterpret_cast<void*>(&flash_attention_grad_handler)},
      {abi::kIndexerSelection.data(), reinterpret_cast<void*>(&indexer_selection_handler)},
      {abi::kIndexerKeys.data(), reinterpret_cast<void*>(&indexer_keys_handler)},
      {abi::kSelectedAttention.data(), reinterpret_cast<void*>(&selected_attention_handler)},
      {abi::kSelectedAttentionGrad.data(), reinterpret_cast<void*>(&selected_attention_grad_handler)},
      {abi::kSelectedIndexerLoss.data(), reinterpret_cast<void*>(&selected_loss_handler)},
      {abi::kSelectedIndexerLossGrad.data(), reinterpret_cast<void*>(&selected_loss_grad_handler)},
      {abi::kGatedSilu.data(), reinterpret_cast<void*>(&gated_silu_handler)},
      {abi::kGatedSiluGrad.data(), reinterpret_cast<void*>(&gated_silu_grad_handler)},
      {abi::kCrossEntropy.data(), reinterpret_cast<void*>(&cross_entropy_handler)},
      {abi::kCrossEntropyGrad.data(), reinterpret_cast<void*>(&cross_entropy_grad_handler)},
      {abi::kAdamW.data(), reinterpret_cast<void*>(&adamw_handler)},
      {abi::kSumOfSquares.data(), reinterpret_cast<void*>(&sum_of_squares_handler)},
      {abi::kUninitialized.data(), reinterpret_cast<void*>(&uninitialized_handler)},
  };
  return kHandlers;
}

}  // namespace fathom
