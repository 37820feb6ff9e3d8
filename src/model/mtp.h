// Multi-token prediction (V3 report, section 2.2): modules behind the last layer, each with a layer of its own. At
// place i module k has seen the tokens up to i + k and predicts the one at i + k + 1; embedding and head are the
// model's.
#pragma once

#include "model/weights.h"

namespace fathom {

// x [b s] s32, moved by one place to the front within each packed document of segments [b s]: place i has what i + 1
// had. 0 at a document's last place and in padding (segment 0).
Value next_in_document(Value x, Value segments);

// What a module's layer reads: the embedding of the next token joined with the hidden state before it, both [b s d],
// the embedding in front, as in the released weights.
Value joined(const ModelConfig& config, const LayerWeights& weights, Value embedding, Value hidden);

}  // namespace fathom
