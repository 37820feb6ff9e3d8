// Products of few rows with weights, as a decoding step has them: each weight is read once, from where it stands.
#pragma once

#include <optional>
#include <string_view>

#include "graph/ops.h"

namespace fathom {

// Up to so many rows a product costs what reading its weights costs; of weights of 8 bits up to so many what making
// whole matrices of them costs.
inline constexpr int64_t kFewRows = 16;
inline constexpr int64_t kFewRowsOfInt8 = 64;

// Whether dot(x, w, axes) is such a product: on one device, few rows of x for each weight, and w a stack of matrices,
// its summed axes being the last ones or the first behind the batch axes.
bool takes_gemv(Value x, Value w, std::string_view axes);

// The rows first .. first + count - 1 of a weight, along its first axis that is no batch axis.
struct WeightPart {
  int64_t first = 0, count = 0;
};

// dot(x, w, axes), with w in x's type and, where given, only a part of it. `out`: the type of the result, else x's.
Value gemv(Value x, Value w, std::string_view axes, std::optional<WeightPart> part = {}, std::optional<DType> out = {},
           Where where = Where::current());

// x [.. k] times the matrices w [e n k] that `which` [..] s32 names: [.. n].
Value indexed_gemv(Value x, Value w, Value which, Where where = Where::current());

}  // namespace fathom
