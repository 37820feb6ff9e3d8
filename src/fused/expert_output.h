// The second half of the routed experts on one device: activation, down projection and the weighted sum for each token,
// with a derivative that keeps the inputs of the activation alone.
#pragma once

#include "fused/moe_permute.h"

namespace fathom {

struct ProjectedRows {
  Value gate, up;     // [m f]: the two projections of the rows, sorted by expert
  Value group_sizes;  // [e] s32
  RowOrder order;
};

struct ExpertOutputOptions {
  bool activations_in_float32 = false;  // as in gated_silu
  bool fp8 = false;                     // the products as in fused/fp8.h
};

// y [tok d] in the rows' type: the sum over k of weights [tok k] (f32) times the choice's row of
// (silu(gate) * up) w_down^T, w_down [e d f].
Value expert_output(const ProjectedRows& rows, Value w_down, Value weights, const ExpertOutputOptions& options = {},
                    Where where = Where::current());

}  // namespace fathom
