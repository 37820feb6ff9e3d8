// TFRecord, the framing of TFDS data and of TensorBoard's event files: length, masked checksum of the length, bytes,
// masked checksum of the bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace fathom {

inline constexpr size_t kTfRecordLengthBytes = 8;
inline constexpr size_t kTfRecordHead = kTfRecordLengthBytes + 4;  // before a record's bytes
inline constexpr size_t kTfRecordTail = 4;                         // behind them

inline void append_tf_record(std::string& to, std::string_view record) {
  std::string length;
  append_little_endian(length, record.size(), kTfRecordLengthBytes);
  to += length;
  append_little_endian(to, masked_crc32c(crc32c(length)), 4);
  to += record;
  append_little_endian(to, masked_crc32c(crc32c(record)), 4);
}

// The length that a record's head (kTfRecordHead bytes) gives; nothing where its checksum is another.
inline std::optional<uint64_t> tf_record_length(std::string_view head) {
  const std::string_view length = head.substr(0, kTfRecordLengthBytes);
  if (little_endian(head.substr(kTfRecordLengthBytes)) != masked_crc32c(crc32c(length))) return std::nullopt;
  return little_endian(length);
}

// Whether a record's bytes have the checksum in its tail.
inline bool tf_record_intact(std::string_view record, std::string_view tail) {
  return little_endian(tail) == masked_crc32c(crc32c(record));
}

}  // namespace fathom
