// Causal attention over packed segments, in the plain form and blockwise.
#pragma once

#include "fused/flash_attention.h"

namespace fathom {

// q [b s h w], already scaled; k [b t h w], v [b t h u] with as many keys as queries; segments [b s] s32. Query i sees
// the keys j <= i (places in the row, not position ids) of its own segment. Padding (segment 0) sees padding, so that
// no row of the softmax is empty; what it computes reaches no other segment.
struct AttentionInputs {
  Value q, k, v, segments;
};

// [b s t]: key t is not after query s and in its segment.
Value visible_keys(Value segments, Where where = Where::current());

// Scores and softmax in float32, over the keys of `visible` [b s t]. Gives [b h s u] in q's type.
Value plain_attention(const AttentionInputs& in, Value visible, Where where = Where::current());
inline Value plain_attention(const AttentionInputs& in, Where where = Where::current()) {
  return plain_attention(in, visible_keys(in.segments, where), where);
}

// Up to this many tokens a row, attention=autoselected keeps the scores of a layer in memory; beyond, the blockwise
// form is the faster one on CPUs and needs no memory for them.
inline constexpr int64_t kPlainAttentionLength = 256;

}  // namespace fathom
