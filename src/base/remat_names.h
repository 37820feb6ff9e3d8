// How the names of what is kept for the backward pass are said, in configurations and graphs alike.
#pragma once

#include <string_view>

namespace fathom {

// Behind the name of a tensor that waits in the host's memory.
inline constexpr std::string_view kOnHost = "@host";

}  // namespace fathom
