// Texts as Python writes and cuts them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/runtime.h"
#include "chat/value.h"

namespace fathom::jinja {

// str(value): what is printed.
std::string to_text(Runtime& runtime, const Value& value);
// repr(value): strings in quotes.
std::string repr(Runtime& runtime, const Value& value);

// json.dumps.
struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent = std::nullopt;
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style = {});

std::string integer_text(Integer value);
// repr of a float: the fewest digits that give it back, at least one after the point, or an exponent.
std::string float_text(double value);

// Whether str.isspace says yes.
bool is_space(uint32_t code_point);
// Code points of a string.
size_t text_length(std::string_view text);
std::vector<std::string_view> characters(std::string_view text);
// str.strip, lstrip, rstrip; without `set`, white space.
enum class Side : uint8_t { kBoth, kLeft, kRight };
std::string_view strip(std::string_view text, Side side, const std::optional<std::string>& set = std::nullopt);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
// The first letter large, all others small.
std::string capitalize(std::string_view text);
// Every letter that follows none large (str.title).
std::string title(std::string_view text);

// Whether there are letters with cases, and all are of this one.
bool is_upper(std::string_view text);
bool is_lower(std::string_view text);

// str.split and rsplit; a limit below 0 is none. Without separator the words between white space.
std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator, int64_t limit,
                               bool from_right);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
// A limit below 0 is none. The result's length is charged before it is made.
std::string replace(Runtime& runtime, std::string_view text, std::string_view old, std::string_view by, int64_t limit);
// Byte offsets, or npos; in time linear in the text.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0);
size_t find_last_text(std::string_view text, std::string_view part);

// text % value, Python's formatting with percent signs.
std::string percent_format(Runtime& runtime, const std::string& format, const Value& value);
// text.format(...).
std::string brace_format(Runtime& runtime, const std::string& format, const Arguments& arguments);

}  // namespace fathom::jinja
