// Faults that a PJRT plugin reports.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fathom {

// The codes of PJRT_Error_Code, with its numbers; a plugin may give any other.
enum class PjrtCode : int32_t {  // NOLINT(performance-enum-size)
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "RESOURCE_EXHAUSTED" and the like; "code 99" for a number that PJRT does not define.
std::string name(PjrtCode code);

// An error of the plugin, or a call that the runtime refuses before the plugin sees it. The message reads
// "PJRT_Client_Compile: INVALID_ARGUMENT: the plugin's own text".
class PjrtError : public Error {
 public:
  PjrtError(PjrtCode code, std::string call, std::string_view text);

  PjrtCode code() const { return code_; }
  // The function of the C API, or of the runtime, that failed.
  const std::string& call() const { return call_; }
  // The text alone, without call and code.
  const std::string& text() const { return text_; }

 private:
  PjrtCode code_;
  std::string call_;
  std::string text_;
};

}  // namespace fathom
