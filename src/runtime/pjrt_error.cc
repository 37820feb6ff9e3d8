#include "runtime/pjrt_error.h"

#include <iterator>

namespace fathom {

std::string name(PjrtCode code) {
  // Indexed by the code; 0 is success and never an error's code.
  constexpr std::string_view kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  auto i = static_cast<size_t>(code);
  return i < std::size(kNames) ? std::string(kNames[i]) : "code " + std::to_string(i);
}

PjrtError::PjrtError(PjrtCode code, std::string call, std::string_view text)
    : Error(call + ": " + name(code) + ": " + std::string(text), kExitFault),
      code_(code),
      call_(std::move(call)),
      text_(text) {}

}  // namespace fathom
