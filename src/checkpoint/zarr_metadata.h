// What zarr's metadata says of an array, versions 2 and 3: type, shape, chunks and how their bytes are coded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/json_file.h"

namespace fathom {

enum class ZarrCodec : uint8_t { kZstd, kGzip, kZlib, kBlosc, kCrc32c };

// How the elements of one chunk become bytes.
struct ZarrCodecs {
  // Axis i of the stored order is axis order[i] of the array; empty: as they are.
  std::vector<size_t> order;
  bool is_big_endian = false;
  std::vector<ZarrCodec> bytes;  // as the writer applied them
};

// A chunk that holds inner chunks and an index of them.
struct ZarrShards {
  std::vector<int64_t> inner;  // divides the chunk
  bool is_index_at_end = true;
  bool is_index_big_endian = false;
  bool has_index_checksum = false;
};

struct ZarrArray {
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes;
  std::vector<int64_t> chunk;  // of at least one element along each axis
  std::optional<ZarrShards> shards;
  ZarrCodecs codecs;            // of a chunk, or of an inner one
  std::vector<std::byte> fill;  // an element of chunks that are not stored; empty: of a spelling that is not read
  std::string key_prefix;       // of a chunk's key
  char separator = '/';

  // Chunks along each axis.
  std::vector<int64_t> grid() const;
  // The key of a chunk below the array's own.
  std::string chunk_key(std::span<const int64_t> place) const;
  // What is read at once: the inner chunk, or the chunk.
  const std::vector<int64_t>& stored_chunk() const { return shards ? shards->inner : chunk; }
};

// The key of the metadata below the array's name.
inline constexpr std::string_view kZarr2Metadata = ".zarray";
inline constexpr std::string_view kZarr3Metadata = "zarr.json";

// Throw FormatError when the text is not an array's metadata, asks for what is not read (naming it), or for more
// elements or chunks than can be.
ZarrArray parse_zarr2(const JsonPlace& place, std::string_view text);
ZarrArray parse_zarr3(const JsonPlace& place, std::string_view text);

// Bytes of `sizes` elements, or nothing when they are more than 2^62.
std::optional<int64_t> checked_bytes(DType dtype, std::span<const int64_t> sizes);

}  // namespace fathom
