// The form of attention (fused/flash_attention.h) and of its derivative for GPUs.
// A block of queries meets all keys at once: the length of the loop is known, where the references' inner loop over the
// keys up to the diagonal costs a round trip to the host at each turn. Half of the scores are computed to be masked.
#pragma once

#include <vector>

#include "graph/ops.h"

namespace fathom {

// Operands and results as of the fused ops.
std::vector<Value> flash_attention_gpu(const std::vector<Value>& operands, Graph& g);
std::vector<Value> flash_attention_grad_gpu(const std::vector<Value>& operands, Graph& g);

}  // namespace fathom
