// The linear layers of a model.
#pragma once

#include "fused/fp8_linear.h"
#include "model/model_config.h"
#include "nn/linear.h"

namespace fathom {

// linear(x, w, axes), or with quantization=fp8 the same in numbers of 8 bits. `matrices`: axes of w that count
// matrices. Not for the head, the router and the indexer, which are never quantized.
inline Value projection(const ModelConfig& m, Value x, Value w, std::string_view axes, std::string_view matrices = {},
                        Where where = Where::current()) {
  if (!m.fp8) return linear(x, w, axes, {}, where);
  return fp8_linear(x, convert(w, x.dtype(), where), axes, {.matrices = matrices}, where);
}

}  // namespace fathom
