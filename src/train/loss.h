// Cross entropy over the vocabulary, with padding masks and z-loss (maxtext-facts 3.10).
#pragma once

#include "graph/ops.h"

namespace fathom {

struct TokenLoss {
  Value cross_entropy;  // f32 scalar: sum over unmasked tokens, the z-loss included
  Value z_loss;         // f32 scalar: the z-loss's share of that sum
  Value tokens;         // f32 scalar: number of unmasked tokens
};

// Per token: logsumexp(logits) - logits[target] + z * logsumexp(logits)^2, summed over the tokens whose segment is not
// 0. logits [b s v] in any float type (computed in f32), targets and segments [b s] s32.
TokenLoss token_loss(Value logits, Value targets, Value segments, double z_loss_multiplier);

}  // namespace fathom
