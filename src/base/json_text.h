// JSON that others wrote, before it is parsed.
#pragma once

#include <cstddef>
#include <string_view>

namespace fathom {

// Deeper trees are refused: what walks them (copies, comparisons, printing) recurses.
inline constexpr int kMaxJsonDepth = 100;
// The message about them, after a place.
inline constexpr std::string_view kDeepJson = "more than 100 JSON lists and objects in one another";

// Offset of the bracket that opens one level more than `depth`, or npos. The text need not be JSON.
size_t find_deep_json(std::string_view text, int depth = kMaxJsonDepth);

}  // namespace fathom
