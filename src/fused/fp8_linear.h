// The three products of a linear layer in numbers of 8 bits (fused/fp8.h; V3 report, section 3.3).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "graph/ops.h"

namespace fathom {

struct Fp8LinearOptions {
  std::string_view matrices = {};  // axes of w that count matrices: blocks do not reach from one to another
  std::optional<DType> out = {};   // of the result; else x's
};

// y = dot(x, w, axes), x and w of one type, with x rounded in blocks of 1 x 128 along the summed axes and w in blocks
// of 128 x 128. Its derivative is made of the same: dx is such a product of dy and w, dw is fp8_outer of dy and x over
// the tokens, which are x's axes that w has not. Rounded numbers times their scales are of x's type before they are
// multiplied; sums are float32.
Value fp8_linear(Value x, Value w, std::string_view axes, const Fp8LinearOptions& options = {},
                 Where where = Where::current());

// dot(a, b, tokens) with a and b rounded in blocks of 128 x 1 along the tokens. It has no derivative of its own.
Value fp8_outer(Value a, Value b, const std::string& tokens);

}  // namespace fathom
