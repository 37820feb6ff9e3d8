// libFuzzer's entry for the target that FATHOM_FUZZ_TARGET names.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto target = std::ranges::find(fathom::fuzz_targets(), FATHOM_FUZZ_TARGET, &fathom::FuzzTarget::name);
  target->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
