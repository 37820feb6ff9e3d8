// The kinds of machine that a program runs on.
#pragma once

#include <cstdint>

namespace fathom {

enum class Hardware : uint8_t { kCpu, kTpu, kGpu };

}  // namespace fathom
