// Writing to a descriptor until all of it is written.
#pragma once

#include <cstdint>
#include <string_view>

namespace fathom {

// False, with errno, when not all of the bytes could be written.
bool write_all(int descriptor, std::string_view bytes);
// The same at a place of a file.
bool write_all_at(int descriptor, int64_t offset, std::string_view bytes);

}  // namespace fathom
