#include "nn/layer_norm.h"

namespace fathom {

Value layer_norm(Value x, Value scale, Value bias, std::string_view axis, double epsilon, Where where) {
  Value wide = convert(x, DType::kF32, where);
  Value centred = wide - reduce_mean(wide, axis, where);
  Value variance = reduce_mean(centred * centred, axis, where);
  Value normed = centred * rsqrt(variance + epsilon);
  return convert(normed * convert(scale, DType::kF32, where) + convert(bias, DType::kF32, where), x.dtype(), where);
}

}  // namespace fathom
