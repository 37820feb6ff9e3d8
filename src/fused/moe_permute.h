// The two movements of rows around the experts, each the other's derivative up to a sum: no scatter in either
// direction.
#pragma once

#include "graph/ops.h"

namespace fathom {

// Where the rows go. A slot is a pair (token, choice), numbered token by token; a row is a slot in expert order.
struct RowOrder {
  Value slot_of_row;  // [m] s32
  Value row_of_slot;  // [tok k] s32, the inverse
};

// x [tok d] -> [m d]: row i is the token of slot slot_of_row[i].
Value rows_of_tokens(Value x, const RowOrder& order, Where where = Where::current());

// y [m d] -> [tok k d]: the row of each slot.
Value slots_of_rows(Value y, const RowOrder& order, Where where = Where::current());

}  // namespace fathom
