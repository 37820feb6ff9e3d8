#include "nn/linear.h"

namespace fathom {

Value linear(Value x, Value w, std::string_view axes, Where where) {
  return dot(x, convert(w, x.dtype(), where), axes, {}, where);
}

Value rms_norm(Value x, Value scale, std::string_view axis, double eps, Where where) {
  Value wide = convert(x, DType::kF32, where);
  Value mean = reduce_mean(wide * wide, axis, where);
  Value unit = wide * rsqrt(mean + eps);
  return convert(unit, x.dtype(), where) * convert(scale, x.dtype(), where);
}

Value gated_silu(Value gate, Value up, bool in_float32, Where where) {
  DType dtype = gate.dtype();
  if (in_float32) {
    gate = convert(gate, DType::kF32, where);
    up = convert(up, DType::kF32, where);
  }
  return convert(gate * logistic(gate) * up, dtype, where);
}

Value embed(Value table, Value tokens, DType dtype, Where where) {
  return convert(gather(table, tokens, "v", where), dtype, where);
}

}  // namespace fathom
