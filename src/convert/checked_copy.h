// Numbers copied and looked at in one pass.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace fathom {

// Writes `count` numbers of floating-point type `from` as `to`, rounded to nearest even; both aligned to their type.
// False when one of the numbers written is not finite. Throws std::invalid_argument for float8 and integers.
bool copy_checked(DType from, const std::byte* source, DType to, std::byte* target, int64_t count);

// Whether all numbers are finite.
bool all_finite(DType dtype, const std::byte* numbers, int64_t count);

}  // namespace fathom
