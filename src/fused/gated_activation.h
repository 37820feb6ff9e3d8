// The gated activation of an expert with its derivative, for per-device forms that write their own backward pass.
#pragma once

#include "graph/ops.h"

namespace fathom {

// h = silu(g) * u, in the type of g and u or, if `in_float32`, in float32.
class GatedActivation {
 public:
  GatedActivation(Value gate, Value up, bool in_float32);

  // In the type of the arithmetic.
  Value hidden() const { return hidden_; }

  struct Gradient {
    Value d_gate, d_up;
  };
  // From dh (of any float type), in `dtype`.
  Gradient gradient(Value d_hidden, DType dtype) const;

 private:
  Value gate_, up_, sigmoid_, silu_, hidden_;
};

}  // namespace fathom
