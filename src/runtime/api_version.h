// The version of the PJRT C API that the program is built with.
#pragma once

#include <string>

namespace fathom {

// "0.81".
std::string pjrt_api_version();

}  // namespace fathom
