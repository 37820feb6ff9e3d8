#include "tokenizer/byte_level.h"

#include <array>

#include "tokenizer/unicode.h"

namespace fathom {

namespace {

// All characters that stand for bytes are below this: 68 bytes are not printable.
constexpr uint32_t kCharacterEnd = 0x100 + 68;

struct ByteMap {
  std::array<uint32_t, 256> character;
  std::array<int16_t, kCharacterEnd> byte;  // -1: stands for none
  ByteMap() {
    byte.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      character[b] = printable ? b : next++;
      byte[character[b]] = static_cast<int16_t>(b);
    }
  }
};

const ByteMap& byte_map() {
  static const ByteMap kMap;
  return kMap;
}

}  // namespace

uint32_t byte_to_character(uint8_t byte) { return byte_map().character[byte]; }

std::string byte_to_text(uint8_t byte) {
  std::string text;
  append_utf8(text, byte_to_character(byte));
  return text;
}

std::optional<std::string> token_to_bytes(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size(); i += utf8_length(token[i])) {
    // Every character that stands for a byte has one or two bytes; a token cut short has none that does.
    if (i + utf8_length(token[i]) > token.size() || utf8_length(token[i]) > 2) return std::nullopt;
    const uint32_t character = decode_utf8(token.data() + i);
    if (character >= kCharacterEnd || byte_map().byte[character] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte_map().byte[character]));
  }
  return bytes;
}

}  // namespace fathom
