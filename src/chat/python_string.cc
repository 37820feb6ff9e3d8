// Cutting and searching strings as Python does.
#include <algorithm>
#include <array>
#include <cstring>

#include "chat/python_text.h"
#include "tokenizer/unicode.h"

namespace fathom::jinja {

bool is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t text_length(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t i = 0; i < text.size(); i += utf8_length(text[i])) out.push_back(text.substr(i, utf8_length(text[i])));
  return out;
}

std::string_view strip(std::string_view text, Side side, const std::optional<std::string>& set) {
  const auto goes = [&](std::string_view c) {
    return set ? find_text(*set, c) != std::string::npos : is_space(decode_utf8(c.data()));
  };
  while (side != Side::kRight && !text.empty() && goes(text.substr(0, utf8_length(text[0])))) {
    text.remove_prefix(utf8_length(text[0]));
  }
  while (side != Side::kLeft && !text.empty()) {
    const size_t last = previous_code_point(text, text.size());
    if (!goes(text.substr(last))) break;
    text = text.substr(0, last);
  }
  return text;
}

// glibc's memmem is linear in the text whatever the part; std::string::find is not.
size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string::npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? std::string::npos : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t find_last_text(std::string_view text, std::string_view part) {
  const std::string turned(text.rbegin(), text.rend());
  const std::string part_turned(part.rbegin(), part.rend());
  const size_t found = find_text(turned, part_turned);
  return found == std::string::npos ? found : text.size() - found - part.size();
}

namespace {

std::vector<std::string> split_words(std::string_view text, int64_t limit) {
  std::vector<std::string> out;
  text = strip(text, Side::kLeft);
  while (!text.empty()) {
    size_t end = 0;
    if (limit >= 0 && static_cast<int64_t>(out.size()) == limit) {
      end = text.size();
    } else {
      while (end < text.size() && !is_space(decode_utf8(&text[end]))) end += utf8_length(text[end]);
    }
    out.emplace_back(text.substr(0, end));
    text = strip(text.substr(end), Side::kLeft);
  }
  return out;
}

std::vector<std::string> split_last_words(std::string_view text, int64_t limit) {
  std::vector<std::string> out;
  text = strip(text, Side::kRight);
  while (!text.empty()) {
    size_t begin = text.size();
    if (limit >= 0 && static_cast<int64_t>(out.size()) == limit) {
      begin = 0;
    } else {
      while (begin > 0) {
        const size_t before = previous_code_point(text, begin);
        if (is_space(decode_utf8(&text[before]))) break;
        begin = before;
      }
    }
    out.emplace_back(text.substr(begin));
    text = strip(text.substr(0, begin), Side::kRight);
  }
  std::ranges::reverse(out);
  return out;
}

}  // namespace

std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator, int64_t limit,
                               bool from_right) {
  if (!separator) return from_right && limit >= 0 ? split_last_words(text, limit) : split_words(text, limit);
  std::vector<std::string> out;
  if (from_right && limit >= 0) {
    // Turned around, so that the whole is linear in the text.
    std::string turned(text.rbegin(), text.rend());
    out = split(turned, std::string(separator->rbegin(), separator->rend()), limit, false);
    for (std::string& part : out) std::ranges::reverse(part);
    std::ranges::reverse(out);
    return out;
  }
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(out.size()) < limit) {
    const size_t found = find_text(text, *separator, begin);
    if (found == std::string::npos) break;
    out.emplace_back(text.substr(begin, found - begin));
    begin = found + separator->size();
  }
  out.emplace_back(text.substr(begin));
  return out;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  const auto ends_line = [](uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && !ends_line(decode_utf8(&text[end]))) end += utf8_length(text[end]);
    size_t next = end;
    if (next < text.size()) next += text.substr(next, 2) == "\r\n" ? 2 : utf8_length(text[next]);
    out.emplace_back(text.substr(begin, (keep_ends ? next : end) - begin));
    begin = next;
  }
  return out;
}

std::string replace(Runtime& runtime, std::string_view text, std::string_view old, std::string_view by, int64_t limit) {
  std::vector<size_t> places;
  const size_t step = old.empty() ? 0 : old.size();
  for (size_t at = 0; limit < 0 || static_cast<int64_t>(places.size()) < limit;) {
    at = find_text(text, old, at);
    if (at == std::string::npos) break;
    runtime.step();
    places.push_back(at);
    // Between characters an empty part is found everywhere, before the end too.
    if (step == 0 && at == text.size()) break;
    at += step == 0 ? utf8_length(text[at]) : step;
  }
  runtime.step_bytes(text.size() + places.size() * by.size());
  runtime.take(places.size() * by.size());
  std::string out;
  size_t begin = 0;
  for (size_t place : places) {
    out.append(text.substr(begin, place - begin)).append(by);
    begin = place + step;
  }
  out.append(text.substr(begin));
  runtime.give_back(places.size() * by.size());
  return out;
}

}  // namespace fathom::jinja
