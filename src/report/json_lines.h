// A file of JSON lines that may be long and may still be written.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace fathom {

// Calls take(number, line) for each whole line of the file, local or remote, that is not blank, some MB of the file in
// memory at a time; numbers count from 1. The text behind the last line feed is a line if take() does not throw
// FormatError for it; otherwise it is taken for one that is being written. Returns whether there is such a rest. Throws
// FormatError when the file cannot be read or a line is longer than any that a run writes.
bool for_each_whole_line(const std::string& path,
                         const std::function<void(int64_t number, std::string_view line)>& take);

}  // namespace fathom
