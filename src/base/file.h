// Whole files: reading, and writing so that a half-written file never carries the final name.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// Throws FormatError naming the path when it is no file (a folder, a pipe) or cannot be read.
std::string read_file(const std::string& path);

// Writes to a file of another name in the same folder, waits until it is on the disk, and renames it; makes the parent
// folders. A link stays a link: what it points to is written. A device or pipe is written as it is. Throws
// RuntimeFault.
void write_file_atomically(const std::string& path, std::string_view content);

// Throws ConfigError naming the key or flag unless write_file_atomically could write `path`, as far as one can see
// before the work: it is no folder, and it or the first folder that is there may be written. Nothing is made.
void require_writable(std::string_view key, const std::string& path);

}  // namespace fathom
