// libFuzzer's entry for the target whose function FATHOM_FUZZ_TARGET names.
#include <cstddef>
#include <cstdint>

#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fathom::FATHOM_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
