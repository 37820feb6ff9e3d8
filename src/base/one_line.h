// Text of any kind on one line.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// Control characters and backslashes as C spells them.
std::string on_one_line(std::string_view text);

}  // namespace fathom
