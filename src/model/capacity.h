// Experts that keep a bounded number of each row's tokens: who is kept, and where.
#pragma once

#include "fused/capped_rows.h"
#include "model/model_config.h"

namespace fathom {

// How many of a row's choices one expert keeps, for rows of `length` tokens: int(max(ceil(length k / e) factor,
// factor)), as the peer. May be 0.
int64_t expert_capacity(const ModelConfig& config, int64_t length);

struct KeptChoices {
  Value kept;    // [b s k] bool
  PlaceMap map;  // places "p": expert by expert, `capacity` each
};

// An expert keeps the first `capacity` choices of it in each row: tokens in their order, the choices of a token in
// theirs. experts [b s k] s32 of `count`; all choices of a token are different ones.
KeptChoices keep_first(Value experts, int64_t count, int64_t capacity);

}  // namespace fathom
