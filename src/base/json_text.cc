#include "base/json_text.h"

namespace fathom {

namespace {

// Place of the quote that ends the string whose first quote is at `begin`, or npos.
size_t string_end(std::string_view text, size_t begin) {
  for (size_t end = text.find('"', begin + 1); end != std::string_view::npos; end = text.find('"', end + 1)) {
    size_t escapes = 0;
    while (text[end - 1 - escapes] == '\\') ++escapes;
    if (escapes % 2 == 0) return end;
  }
  return std::string_view::npos;
}

}  // namespace

size_t find_deep_json(std::string_view text, int depth) {
  int open = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      i = string_end(text, i);  // brackets inside strings open nothing
      if (i == std::string_view::npos) return i;
    } else if (text[i] == '[' || text[i] == '{') {
      if (++open > depth) return i;
    } else if (text[i] == ']' || text[i] == '}') {
      --open;
    }
  }
  return std::string_view::npos;
}

}  // namespace fathom
