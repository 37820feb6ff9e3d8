// JSON that others wrote, before it is parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace fathom {

// Deeper trees are refused: what walks them (copies, comparisons, printing) recurses.
inline constexpr int kMaxJsonDepth = 100;
// The message about them, after a place.
inline constexpr std::string_view kDeepJson = "more than 100 JSON lists and objects in one another";

// Offset of the bracket that opens one level more than `depth`, or npos. The text need not be JSON.
size_t find_deep_json(std::string_view text, int depth = kMaxJsonDepth);

// Calls f(number, line) for each line of a file's text that is not blank; numbers count from 1, blank lines too. Throws
// FormatError of `path` for a line that is too deep.
void for_each_json_line(const std::string& path, std::string_view text,
                        const std::function<void(int64_t number, std::string_view line)>& f);

}  // namespace fathom
