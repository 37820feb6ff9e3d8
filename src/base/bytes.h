// Whole numbers as bytes, the lowest first: the order of every format and protocol that fathom reads or writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

// Appends the lowest `count` bytes of `value`, at most 8.
inline void append_little_endian(std::string& to, uint64_t value, size_t count) {
  for (size_t i = 0; i < count; ++i) to.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

// The number that `bytes`, at most 8, hold.
inline uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return value;
}

}  // namespace fathom
