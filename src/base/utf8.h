// Checking that bytes are UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace fathom {

// Offset of the first byte that is not part of well-formed UTF-8 (Unicode 16, table 3-7: no surrogates, nothing
// overlong, nothing above U+10FFFF), or npos when all of it is.
size_t find_invalid_utf8(std::string_view text);

}  // namespace fathom
