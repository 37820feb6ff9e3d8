// Whole files: reading, and writing so that a half-written file never carries the final name.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// Throws FormatError naming the path when the file cannot be read.
std::string read_file(const std::string& path);
// Writes to a temporary name beside `path` and renames it; makes the parent folders. Throws RuntimeFault.
void write_file_atomically(const std::string& path, std::string_view content);

}  // namespace fathom
