// Code points: walking UTF-8, and the character classes of Unicode 16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/code_point_set.h"

namespace fathom {

// The Unicode version of every class below: that of the reference tokenizers (0.23.3), newer than the system's PCRE2.
inline constexpr std::string_view kUnicodeVersion = "16.0.0";

// The code points of a general category by its short name: one letter ("L", "M", "N", "P", "S", "Z", "C") or two
// ("Lu"). Nothing when there is no such category.
std::optional<CodePointSet> category_set(std::string_view name);
// Code points with the property White_Space: `\s`.
const CodePointSet& white_space_set();
// Code points that make up words, UTS 18's `\w`: letters, marks, decimal and letter numbers, connectors, joiners.
const CodePointSet& word_set();

// Bytes of the code point that starts with this byte of well-formed UTF-8.
inline size_t utf8_length(char lead) {
  auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

// The code point at `p` in well-formed UTF-8.
inline uint32_t decode_utf8(const char* p) {
  auto at = [p](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(p[i])); };
  switch (utf8_length(*p)) {
    case 1:
      return at(0);
    case 2:
      return (at(0) & 0x1f) << 6 | (at(1) & 0x3f);
    case 3:
      return (at(0) & 0x0f) << 12 | (at(1) & 0x3f) << 6 | (at(2) & 0x3f);
    default:
      return (at(0) & 0x07) << 18 | (at(1) & 0x3f) << 12 | (at(2) & 0x3f) << 6 | (at(3) & 0x3f);
  }
}

// Start of the code point that ends just before `end`, in well-formed UTF-8.
inline size_t previous_code_point(std::string_view text, size_t end) {
  do {
    --end;
  } while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80);
  return end;
}

void append_utf8(std::string& out, uint32_t code_point);

// The bytes as text: each maximal part of them that is not UTF-8 (Unicode 16, section 3.9, "maximal subpart") becomes
// one U+FFFD.
std::string to_utf8_lossy(std::string_view bytes);

}  // namespace fathom
