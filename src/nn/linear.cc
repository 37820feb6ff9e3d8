#include "nn/linear.h"

namespace fathom {

Value linear(Value x, Value w, std::string_view axes, Where where) {
  return dot(x, convert(w, x.dtype(), where), axes, {}, where);
}

Value embed(Value table, Value tokens, DType dtype, Where where) {
  return convert(gather(table, tokens, "v", where), dtype, where);
}

}  // namespace fathom
