// Attention of few queries over a cache of latents, and how rows come into it.
#pragma once

#include "graph/ops.h"

namespace fathom {

// The latents [l b t c] and rotated keys [l b t w] of all layers, and the layer that is meant (s32 scalar).
struct LatentStacks {
  Value kv, rotated, layer;
};

// softmax over the visible t of (q . kv[t] + q_rotated . rotated[t]), times kv.
//   q [b s h c], q_rotated [b s h w], both scaled; visible [b s t] -> [b s h c]
Value latent_attention(Value q, Value q_rotated, const LatentStacks& keys, Value visible,
                       Where where = Where::current());

// The stack [l b t c] with rows [b s c] in one layer (s32 scalar): those of each b from its `place` [b] s32 on, or all
// from the scalar `place` on.
Value put_rows(Value stack, Value layer, Value rows, Value place, Where where = Where::current());

}  // namespace fathom
