#include "base/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

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

using PlacedKey = std::pair<std::string, size_t>;  // and the offset of its first quote

// What a string between two quotes says.
std::string unescaped(std::string_view quoted) {
  const std::string_view inside = quoted.substr(1, quoted.size() - 2);
  if (inside.find('\\') == std::string_view::npos) return std::string(inside);
  const auto value = nlohmann::json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  return value.is_string() ? value.get<std::string>() : std::string(inside);
}

// A key that an object has twice, at its second place.
std::optional<PlacedKey> find_second_key(std::string_view text) {
  std::vector<PlacedKey> keys;  // of the open objects, one behind the other
  std::vector<size_t> begins;   // of each open object or list, the place of its first key in `keys`
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      const size_t end = string_end(text, i);
      if (end == std::string_view::npos) return std::nullopt;
      const size_t behind = text.find_first_not_of(" \t\r\n", end + 1);
      if (behind != std::string_view::npos && text[behind] == ':') {
        keys.emplace_back(unescaped(text.substr(i, end + 1 - i)), i);
      }
      i = end;
    } else if (text[i] == '[' || text[i] == '{') {
      begins.push_back(keys.size());
    } else if (text[i] == ']' || text[i] == '}') {
      if (begins.empty()) return std::nullopt;
      const std::span own = std::span(keys).subspan(begins.back());
      std::ranges::sort(own);
      const auto twice = std::ranges::adjacent_find(own, {}, &PlacedKey::first);
      if (twice != own.end()) return *std::next(twice);
      keys.resize(begins.back());
      begins.pop_back();
    }
  }
  return std::nullopt;
}

// Without "[json.exception.NAME.NUMBER] ".
std::string_view without_name(std::string_view text) {
  constexpr std::string_view kEnd = "] ";
  const size_t end = text.starts_with("[json.exception.") ? text.find(kEnd) : std::string_view::npos;
  return end == std::string_view::npos ? text : text.substr(end + kEnd.size());
}

// The reason alone of "parse error at line 1, column 9: syntax error while parsing value - REASON; last read: '...'".
std::string_view reason_of(std::string_view text) {
  text = text.substr(0, text.find("; last read: '"));
  for (const std::string_view before : {": ", " - "}) {
    const size_t end = text.find(before);
    if (end != std::string_view::npos) text.remove_prefix(end + before.size());
  }
  return text;
}

// "type must be string, but is null", "key 'model' not found", "number overflow parsing '1e999'".
std::string value_mistake(std::string_view text) {
  constexpr std::string_view kType = "type must be ", kKey = "key ", kMissing = " not found",
                             kRange = "number overflow";
  if (text.starts_with(kType)) return fmt::format("a value {}", text.substr(std::string_view("type ").size()));
  if (text.starts_with(kKey) && text.ends_with(kMissing)) {
    return fmt::format("there is no {}", text.substr(kKey.size(), text.size() - kKey.size() - kMissing.size()));
  }
  return fmt::format("{}{}", text.starts_with(kRange) ? "not JSON: " : "", text);
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

std::optional<JsonRefusal> json_refusal(std::string_view text) {
  if (const size_t deep = find_deep_json(text); deep != std::string_view::npos) {
    return JsonRefusal{std::string(kDeepJson), deep};
  }
  const std::optional<PlacedKey> twice = find_second_key(text);
  if (!twice) return std::nullopt;
  return JsonRefusal{fmt::format("the key '{}' stands twice in one object", twice->first), twice->second};
}

void require_plain_json(const std::string& path, std::string_view text, int64_t offset) {
  const std::optional<JsonRefusal> refusal = json_refusal(text);
  if (refusal) throw FormatError(path, offset + static_cast<int64_t>(refusal->place), refusal->text);
}

void for_each_json_line(const std::string& path, std::string_view text,
                        const std::function<void(int64_t, std::string_view)>& f) {
  int64_t number = 0;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end + 1) {
    ++number;
    end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (const auto refusal = json_refusal(line)) {
      throw FormatError(path, fmt::format("line {}: {}", number, refusal->text));
    }
    f(number, line);
  }
}

JsonMistake json_mistake(const std::exception& error) {
  const std::string_view text = without_name(error.what());
  const auto* syntax = dynamic_cast<const nlohmann::json::parse_error*>(&error);
  if (syntax == nullptr) return {value_mistake(text), std::nullopt};
  // The library counts the bytes that it has read.
  return {fmt::format("not JSON: {}", reason_of(text)), std::max<size_t>(syntax->byte, 1) - 1};
}

std::string json_line_mistake(const std::exception& error) {
  constexpr std::string_view kNoJson = "not JSON: ";
  const JsonMistake mistake = json_mistake(error);
  if (!mistake.place) return mistake.text;
  return fmt::format("{}at column {}: {}", kNoJson, *mistake.place + 1, mistake.text.substr(kNoJson.size()));
}

void throw_json_mistake(const std::string& path, const std::exception& error, int64_t offset) {
  const JsonMistake mistake = json_mistake(error);
  if (!mistake.place) throw FormatError(path, mistake.text);
  throw FormatError(path, offset + static_cast<int64_t>(*mistake.place), mistake.text);
}

}  // namespace fathom
