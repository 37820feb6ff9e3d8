// Bytes that are decoded as they are asked for: no codec here holds more than its window, but blosc, which holds what
// is stored. Errors are FormatErrors that name the file and where in it the value begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "checkpoint/key_store.h"

namespace fathom {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fills `out`; fewer bytes than it holds are given only where the stream ends, and 0 ever after.
  virtual size_t read(std::span<std::byte> out) = 0;
};

using ByteStreamPtr = std::unique_ptr<ByteStream>;

// The bytes as they are stored.
ByteStreamPtr stored_stream(const StoredBytes& bytes);
// Each decodes what another gives; `where` is the value in messages.
ByteStreamPtr zstd_stream(ByteStreamPtr from, const StoredBytes& where);
ByteStreamPtr gzip_stream(ByteStreamPtr from, const StoredBytes& where);
ByteStreamPtr zlib_stream(ByteStreamPtr from, const StoredBytes& where);
// Takes off the four bytes at the end, and compares them with the checksum of the others.
ByteStreamPtr crc32c_stream(ByteStreamPtr from, const StoredBytes& where);
// `limit` is the most bytes that may come out.
ByteStreamPtr blosc_stream(ByteStreamPtr from, const StoredBytes& where, int64_t limit);

// All that a stream gives. Throws FormatError as soon as it is more than `limit` bytes.
std::string read_all(ByteStream& stream, const StoredBytes& where, int64_t limit);

}  // namespace fathom
