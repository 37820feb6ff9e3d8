// Writing to a descriptor until all of it is written.
#pragma once

#include <string_view>

namespace fathom {

// False, with errno, when not all of the bytes could be written.
bool write_all(int descriptor, std::string_view bytes);

}  // namespace fathom
