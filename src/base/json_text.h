// JSON that others wrote, before it is parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

// Deeper trees are refused: what walks them (copies, comparisons, printing) recurses.
inline constexpr int kMaxJsonDepth = 100;
// The message about them, after a place.
inline constexpr std::string_view kDeepJson = "more than 100 JSON lists and objects in one another";

// Offset of the bracket that opens one level more than `depth`, or npos. The text need not be JSON.
size_t find_deep_json(std::string_view text, int depth = kMaxJsonDepth);

// Why a text is not taken though it may be JSON: it is too deep, or an object has a key twice, of which parsers take
// either value in silence.
struct JsonRefusal {
  std::string text;
  size_t place = 0;  // of the bracket, or the key's second place
};
// The text need not be JSON.
std::optional<JsonRefusal> json_refusal(std::string_view text);
// Throws FormatError for a text that is not taken; it begins `offset` bytes from the file's beginning.
void require_plain_json(const std::string& path, std::string_view text, int64_t offset = 0);

// Calls f(number, line) for each line of a file's text that is not blank; numbers count from 1, blank lines too. Throws
// FormatError of `path` for a line that is not taken.
void for_each_json_line(const std::string& path, std::string_view text,
                        const std::function<void(int64_t number, std::string_view line)>& f);

// What an error of nlohmann's parser or of its values says, without the library's own names.
struct JsonMistake {
  std::string text;             // "not JSON: invalid literal", "there is no 'model'", "a value must be a number"
  std::optional<size_t> place;  // of the first byte that is not JSON
};
JsonMistake json_mistake(const std::exception& error);
// The same about one line: "not JSON: at column 3: invalid literal".
std::string json_line_mistake(const std::exception& error);
// The same about a file whose JSON text begins `offset` bytes from its beginning: a FormatError with the place.
[[noreturn]] void throw_json_mistake(const std::string& path, const std::exception& error, int64_t offset = 0);

}  // namespace fathom
