// Arrays as zarr stores them: the text that describes one, the names of its chunks, and the bytes of a chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/byte_sink.h"

struct ZSTD_CCtx_s;

namespace fathom {

// How an array is cut and packed.
struct ZarrLayout {
  DType dtype = DType::kF32;
  std::vector<int64_t> sizes;
  std::vector<int64_t> chunk;  // elements of a chunk along each axis
  std::vector<int64_t> inner;  // version 3 alone: of the inner chunks of a chunk, which it is a multiple of
  int version = 3;             // of zarr: 2 or 3
  bool compress = true;        // zstd, each (inner) chunk for itself
  bool checksum = false;       // version 3 alone: of each inner chunk that is not compressed
};

// Of a chunk, in memory.
int64_t chunk_bytes(const ZarrLayout& layout);

// Name of the description beside the chunks: "zarr.json", ".zarray".
std::string_view zarr_description_name(int version);
std::string zarr_description(const ZarrLayout& layout);
// Name of the chunk at a place of the grid: "c/2/0"; "2.0" in version 2.
std::string zarr_chunk_name(int version, std::span<const int64_t> place);

// Packs chunks; keeps its memory from one to the next, a few MB or one inner chunk where that is more. Not thread-safe.
class ChunkEncoder {
 public:
  ChunkEncoder();
  ~ChunkEncoder();
  ChunkEncoder(const ChunkEncoder&) = delete;
  ChunkEncoder& operator=(const ChunkEncoder&) = delete;

  // `elements`: all of a chunk, row-major. Bytes that are stored as they are go to the sink without a copy.
  void encode(const ZarrLayout& layout, std::span<const std::byte> elements, ByteSink& sink);

 private:
  struct InnerGrid;
  void encode_shard(const ZarrLayout& layout, std::string_view elements, ByteSink& sink);
  // Returns how many bytes went to the sink.
  int64_t compress(std::string_view bytes, ByteSink& sink);

  struct Memory {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
    char* of(size_t wanted);
  };
  ZSTD_CCtx_s* zstd_ = nullptr;  // made by the first use
  Memory packed_, gathered_;
};

}  // namespace fathom
