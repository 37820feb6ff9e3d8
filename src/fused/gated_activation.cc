#include "fused/gated_activation.h"

namespace fathom {

GatedActivation::GatedActivation(Value gate, Value up, bool in_float32)
    : gate_(in_float32 ? convert(gate, DType::kF32) : gate), up_(in_float32 ? convert(up, DType::kF32) : up) {
  sigmoid_ = logistic(gate_);
  silu_ = gate_ * sigmoid_;
  hidden_ = silu_ * up_;
}

// du = dh silu(g), dg = dh u s (1 + g (1 - s)), s = logistic(g)
GatedActivation::Gradient GatedActivation::gradient(Value d_hidden, DType dtype) const {
  d_hidden = convert(d_hidden, gate_.dtype());
  Value slope = sigmoid_ * (gate_ * (1.0 - sigmoid_) + 1.0);
  return {.d_gate = convert(d_hidden * up_ * slope, dtype), .d_up = convert(d_hidden * silu_, dtype)};
}

}  // namespace fathom
