// Routed experts on a mesh: tokens go to the devices that hold their experts and come back, dropless unless bounded.
#pragma once

#include "fused/expert_op.h"

namespace fathom {

// What each token asks for.
struct RoutedTokens {
  Value x;        // [b s d]
  Value experts;  // [b s k] s32, different ones for a token
  Value weights;  // [b s k] f32
};

struct RoutedSum {
  Value y;     // [b s d]: the sum of each token's experts
  Value kept;  // [b s k] bool; null where none can be dropped
};

// y [b s d]: for each token the sum over its experts of weight * (silu(x Wg^T) * (x Wu^T)) Wd^T. For graphs with a
// mesh. Each device sorts its tokens by the device that holds their experts, sends each token at most once to a device
// (buffers for the worst case, so that nothing is dropped; with ExpertOptions::factor a device takes only so many times
// the mean number of choices), multiplies what it receives by its experts, sums a token's parts and sends one row back.
// Matrices that are split along the model dimension are gathered some experts at a time. Gate and up are computed again
// in the backward pass.
RoutedSum routed_experts(const RoutedTokens& tokens, const ExpertMatrices& matrices, const ExpertOptions& options,
                         Where where = Where::current());

}  // namespace fathom
