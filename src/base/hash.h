// Hashes of contents: XXH3's 128 bits as 32 hexadecimal digits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fathom {

std::string hash_of(std::string_view bytes);

// Each part counts with its length, so that no two lists of parts look alike.
std::string hash_of_parts(const std::vector<std::string>& parts);

}  // namespace fathom
