#include "runtime/api_version.h"

#include <fmt/format.h>

#include "pjrt_c_api.h"

namespace fathom {

std::string pjrt_api_version() { return fmt::format("{}.{}", PJRT_API_MAJOR, PJRT_API_MINOR); }

}  // namespace fathom
