#include "nn/linear.h"

#include "fused/gemv.h"

namespace fathom {

Value linear(Value x, Value w, std::string_view axes, std::optional<DType> out, Where where) {
  if (takes_gemv(x, w, axes)) return gemv(x, w, axes, {}, out, where);
  return dot(x, convert(w, x.dtype(), where), axes, {.out = out}, where);
}

Value embed(Value table, Value tokens, DType dtype, Where where) {
  return convert(gather(table, tokens, "v", where), dtype, where);
}

}  // namespace fathom
