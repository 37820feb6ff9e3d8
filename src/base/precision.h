// How exactly matrix products are computed where the hardware has a choice (TPU passes, TF32).
#pragma once

#include <cstdint>

namespace fathom {

enum class Precision : uint8_t { kDefault, kHigh, kHighest };

}  // namespace fathom
