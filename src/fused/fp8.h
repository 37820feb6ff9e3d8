// Numbers of 8 bits (e4m3) in blocks with a scale each, as DeepSeek-V3 trains with them (report, section 3.3.2).
//
// A block's scale is max(amax, 1e-4) / 448; a number is divided by it and rounded to the nearest number of e4m3, the
// even one of two; 448 is the largest. The numbers of e4m3 are held as float32: no target of ours has a product of such
// blocks, so products take numbers times scales.
#pragma once

#include <string>
#include <vector>

#include "graph/ops.h"

namespace fathom {

inline constexpr int64_t kFp8Block = 128;

// How an array is cut into blocks. Each entry names axes whose places, counted through in this order, are cut into runs
// of 128, the last of which may be shorter. There is at least one entry; two make blocks of 128 x 128. Every place of
// an axis that none names has blocks of its own.
using Fp8Runs = std::vector<std::string>;

struct Fp8Numbers {
  Value codes;   // numbers of e4m3
  Value scales;  // of each number its block's; NaN where the block holds a number that is not finite
};
// x of any shape and float type; both results are f32 of x's shape.
Fp8Numbers fp8_quantized(Value x, const Fp8Runs& runs);

// codes times scales in float32, as x's type.
Value fp8_rounded(Value x, const Fp8Runs& runs);

}  // namespace fathom
