// Rotary position embedding, with yarn's frequencies (Peng et al., YaRN, section 3.2-3.4) where they are asked for.
#pragma once

#include "graph/ops.h"
#include "nn/rope_options.h"

namespace fathom {

// The pairs between which yarn blends from the full to the slowed frequency.
struct YarnRamp {
  double low, high;
};
YarnRamp yarn_ramp(const RopeOptions& options);

// cos and sin of position x frequency, f32 [b s pair].
struct RopeTables {
  Value cos, sin;
};
// positions [b s] s32. Made of iota and arithmetic: the text holds no table.
RopeTables rope_tables(Value positions, const RopeOptions& options, Where where = Where::current());

// Rotates the pairs (x[2i], x[2i+1]) of the last axis `axis`, which holds the tables' pairs twice. The result has all
// first halves, then all second halves: queries and keys rotated alike have the same products as in the pairwise order.
// x has the axes b and s; computed in float32, given back in x's type.
Value rotate_pairs(Value x, std::string_view axis, const RopeTables& tables, Where where = Where::current());

// The same for the pairs (x[i], x[i + half]): the first half of the axis with the second one, where they stay.
Value rotate_halves(Value x, std::string_view axis, const RopeTables& tables, Where where = Where::current());

}  // namespace fathom
