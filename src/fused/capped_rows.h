// The two movements of tokens around experts that keep a bounded number of each row's tokens, each the other's
// derivative up to a sum: no scatter in either direction.
#pragma once

#include "graph/ops.h"

namespace fathom {

// Where a row's choices go. A slot is a pair (token, choice), numbered token by token in its row; a place is one of an
// expert's, numbered expert by expert. -1: a place that nobody has, a choice that was dropped.
struct PlaceMap {
  Value slot_of_place;  // [b p] s32
  Value place_of_slot;  // [b s k] s32
};

// x [b s d] -> [b p d]: the token of each place; zeros in places that nobody has.
Value places_of_tokens(Value x, const PlaceMap& map, Where where = Where::current());

// y [b p d] -> [b s k d]: what the place of each choice holds; zeros for a choice that was dropped.
Value slots_of_places(Value y, const PlaceMap& map, Where where = Where::current());

}  // namespace fathom
