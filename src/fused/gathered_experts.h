// Every expert on every token, on a mesh over which the experts' matrices are split along the model dimension: they are
// gathered some experts at a time, so that never all matrices of a layer, nor their gradients, are whole at once.
#pragma once

#include "fused/expert_op.h"

namespace fathom {

// Whether the experts' matrices are split in the way that the op is for.
bool can_gather_experts(const Partition& p, const Shape& x, const ExpertMatrices& matrices);

// y [b s d] = sum over the experts of weights[b s e] * (silu(x Wg^T) * (x Wu^T)) Wd^T, for x [b s d], weights f32 with
// 0 where an expert was not chosen. For graphs with a mesh. Gate and up are computed again in the backward pass.
Value gathered_experts(Value x, Value weights, const ExpertMatrices& matrices, const ExpertOptions& options,
                       Where where = Where::current());

}  // namespace fathom
