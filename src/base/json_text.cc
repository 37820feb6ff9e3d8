#include "base/json_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

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

void for_each_json_line(const std::string& path, std::string_view text,
                        const std::function<void(int64_t, std::string_view)>& f) {
  int64_t number = 0;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end + 1) {
    ++number;
    end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (find_deep_json(line) != std::string_view::npos) {
      throw FormatError(path, fmt::format("line {}: {}", number, kDeepJson));
    }
    f(number, line);
  }
}

}  // namespace fathom
