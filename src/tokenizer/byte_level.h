// The printable characters that byte-level vocabularies write for bytes (GPT-2's bytes_to_unicode).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

// The code point that stands for a byte: itself where printable in Latin-1, else one of U+0100 and after.
uint32_t byte_to_character(uint8_t byte);
// Text of the byte's character, as in the keys of a vocabulary.
std::string byte_to_text(uint8_t byte);
// The bytes that a token stands for, or nothing when one of its characters stands for no byte (or it is not UTF-8).
std::optional<std::string> token_to_bytes(std::string_view token);

}  // namespace fathom
