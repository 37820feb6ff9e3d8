// The gated activation of an MLP, with a derivative that keeps its operands and nothing else.
#pragma once

#include "graph/ops.h"

namespace fathom {

// silu(gate) * up, element by element, of two arrays of one type and any one shape; in that type, or inside in float32.
Value gated_silu(Value gate, Value up, bool in_float32, Where where = Where::current());

// Its derivative, in the type and shape of gate and up, from that of the result (of any float type).
struct GatedSiluGrad {
  Value gate, up;
};
GatedSiluGrad gated_silu_grad(Value gate, Value up, Value d_result, bool in_float32, Where where = Where::current());

}  // namespace fathom
