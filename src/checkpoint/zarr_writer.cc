#include "checkpoint/zarr_writer.h"

#include <zstd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/array_slice.h"
#include "base/bytes.h"
#include "base/crc32c.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kZstdLevel = 1;
// What is compressed or gathered at once, where an inner chunk is not more.
constexpr size_t kPieceBytes = size_t{2} << 20;

// NumPy's spelling, which zarr took over in version 2; types that NumPy has not go by their names.
std::string numpy_name(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return "|b1";
    case DType::kS8:
      return "|i1";
    case DType::kU8:
      return "|u1";
    case DType::kS16:
      return "<i2";
    case DType::kS32:
      return "<i4";
    case DType::kS64:
      return "<i8";
    case DType::kU16:
      return "<u2";
    case DType::kU32:
      return "<u4";
    case DType::kU64:
      return "<u8";
    case DType::kF16:
      return "<f2";
    case DType::kF32:
      return "<f4";
    case DType::kF64:
      return "<f8";
    default:
      return std::string(name(dtype));
  }
}

Json zero(DType dtype) {
  if (dtype == DType::kBool) return false;
  return is_float(dtype) ? Json(0.0) : Json(0);
}

Json codec(std::string_view name, Json configuration) {
  return {{"name", name}, {"configuration", std::move(configuration)}};
}

// Offsets of all elements of a box of `sizes`, row-major, when a step along each axis is that many bytes.
std::vector<int64_t> places_of(std::span<const int64_t> sizes, std::span<const int64_t> steps) {
  std::vector<int64_t> out = {0};
  for (size_t axis = 0; axis < sizes.size(); ++axis) {
    std::vector<int64_t> next;
    next.reserve(out.size() * static_cast<size_t>(sizes[axis]));
    for (int64_t place : out) {
      for (int64_t i = 0; i < sizes[axis]; ++i) next.push_back(place + i * steps[axis]);
    }
    out = std::move(next);
  }
  return out;
}

void append_index(std::string& index, int64_t offset, int64_t length) {
  append_little_endian(index, static_cast<uint64_t>(offset), 8);
  append_little_endian(index, static_cast<uint64_t>(length), 8);
}

bool has_checksums(const ZarrLayout& layout) { return layout.checksum && !layout.compress; }

// Returns the bytes of the checksum.
int64_t append_with_checksum(std::string_view bytes, ByteSink& sink) {
  std::string checksum;
  append_little_endian(checksum, crc32c(bytes), 4);
  sink.append(bytes);
  sink.append(checksum);
  return std::ssize(checksum);
}

}  // namespace

int64_t chunk_bytes(const ZarrLayout& layout) { return element_count(layout.chunk) * byte_size(layout.dtype); }

std::string_view zarr_description_name(int version) { return version == 3 ? "zarr.json" : ".zarray"; }

std::string zarr_description(const ZarrLayout& layout) {
  if (layout.version == 2) {
    Json compressor = layout.compress ? Json{{"id", "zstd"}, {"level", kZstdLevel}} : Json(nullptr);
    return Json{{"chunks", layout.chunk},
                {"compressor", std::move(compressor)},
                {"dimension_separator", "."},
                {"dtype", numpy_name(layout.dtype)},
                {"fill_value", nullptr},
                {"filters", nullptr},
                {"order", "C"},
                {"shape", layout.sizes},
                {"zarr_format", 2}}
        .dump();
  }
  const Json little = codec("bytes", {{"endian", "little"}});
  Json inside = Json::array({little});
  if (layout.compress) inside.push_back(codec("zstd", {{"level", kZstdLevel}, {"checksum", false}}));
  if (has_checksums(layout)) inside.push_back({{"name", "crc32c"}});
  const Json shards = codec("sharding_indexed", {{"chunk_shape", layout.inner},
                                                 {"codecs", inside},
                                                 {"index_codecs", Json::array({little, {{"name", "crc32c"}}})},
                                                 {"index_location", "end"}});
  return Json{{"zarr_format", 3},
              {"node_type", "array"},
              {"shape", layout.sizes},
              {"data_type", name(layout.dtype)},
              {"chunk_grid", codec("regular", {{"chunk_shape", layout.chunk}})},
              {"chunk_key_encoding", codec("default", {{"separator", "/"}})},
              {"fill_value", zero(layout.dtype)},
              {"codecs", Json::array({shards})}}
      .dump();
}

std::string zarr_chunk_name(int version, std::span<const int64_t> place) {
  if (version == 2) return place.empty() ? "0" : fmt::format("{}", fmt::join(place, "."));
  return place.empty() ? "c" : fmt::format("c/{}", fmt::join(place, "/"));
}

// Inner chunks in their order of storage, the row-major order of their grid. Behind the last axis that is split, axis
// a, the elements of a chunk and of an inner chunk lie alike: an inner chunk is `rows` runs of the chunk's bytes. Those
// side by side along axis a make a slab.
struct ChunkEncoder::InnerGrid {
  explicit InnerGrid(const ZarrLayout& layout) {
    const size_t rank = layout.chunk.size();
    size_t split = rank;  // a + 1
    while (split > 0 && layout.chunk[split - 1] == layout.inner[split - 1]) --split;
    bytes = element_count(layout.inner) * byte_size(layout.dtype);
    if (split == 0) {
      run = bytes;
      return;
    }
    const size_t a = split - 1;
    std::vector<int64_t> step(split), slab_step(split), slab_count(split);
    int64_t below = byte_size(layout.dtype);
    for (size_t axis = rank; axis-- > 0;) {
      if (axis < split) {
        step[axis] = below;
        slab_step[axis] = below * layout.inner[axis];
        slab_count[axis] = layout.chunk[axis] / layout.inner[axis];
      }
      below *= layout.chunk[axis];
    }
    run = slab_step[a];
    across = slab_count[a];
    rows = places_of(std::span(layout.inner).first(a), std::span(step).first(a));
    slabs = places_of(std::span(slab_count).first(a), std::span(slab_step).first(a));
  }

  bool contiguous() const { return rows.size() == 1; }
  int64_t count() const { return across * static_cast<int64_t>(slabs.size()); }

  // Copies inner chunks [first, first + count) of a slab to `to`, a few rows of each in turn, so that what is read
  // stays in the cache until all of it has been used.
  void gather(const char* slab, int64_t first, int64_t number, char* to) const {
    constexpr size_t kRows = 16;
    const auto run_bytes = static_cast<size_t>(run);
    for (size_t begin = 0; begin < rows.size(); begin += kRows) {
      const size_t end = std::min(rows.size(), begin + kRows);
      for (int64_t i = 0; i < number; ++i) {
        const char* from = slab + (first + i) * run;
        char* out = to + i * bytes + static_cast<int64_t>(begin) * run;
        for (size_t row = begin; row < end; ++row, out += run) std::memcpy(out, from + rows[row], run_bytes);
      }
    }
  }

  int64_t bytes = 0;                             // of an inner chunk
  int64_t run = 0;                               // bytes
  int64_t across = 1;                            // inner chunks of a slab
  std::vector<int64_t> rows = {0}, slabs = {0};  // where they begin, in bytes: in an inner chunk; in the chunk
};

ChunkEncoder::ChunkEncoder() = default;
ChunkEncoder::~ChunkEncoder() { ZSTD_freeCCtx(zstd_); }

char* ChunkEncoder::Memory::of(size_t wanted) {
  if (wanted > size) {
    bytes.reset();
    bytes = std::make_unique_for_overwrite<char[]>(wanted);
    size = wanted;
  }
  return bytes.get();
}

int64_t ChunkEncoder::compress(std::string_view bytes, ByteSink& sink) {
  auto check = [](size_t code) {
    if (ZSTD_isError(code) != 0) throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(code));
    return code;
  };
  if (zstd_ == nullptr) {
    zstd_ = ZSTD_createCCtx();
    if (zstd_ == nullptr) throw std::bad_alloc();
    check(ZSTD_CCtx_setParameter(zstd_, ZSTD_c_compressionLevel, kZstdLevel));
  }
  // Where the bound of the whole fits, zstd writes it in one go; the frame says its decoded size in either case.
  const size_t room = std::min(ZSTD_compressBound(bytes.size()), kPieceBytes);
  char* memory = packed_.of(room);
  ZSTD_inBuffer in = {bytes.data(), bytes.size(), 0};
  int64_t written = 0;
  for (size_t left = 1; left > 0;) {
    ZSTD_outBuffer out = {memory, room, 0};
    left = check(ZSTD_compressStream2(zstd_, &out, &in, ZSTD_e_end));
    sink.append({memory, out.pos});
    written += static_cast<int64_t>(out.pos);
  }
  return written;
}

void ChunkEncoder::encode(const ZarrLayout& layout, std::span<const std::byte> elements, ByteSink& sink) {
  const std::string_view bytes(reinterpret_cast<const char*>(elements.data()), elements.size());
  if (layout.version == 3) {
    encode_shard(layout, bytes, sink);
  } else if (layout.compress) {
    compress(bytes, sink);
  } else {
    sink.append(bytes);
  }
}

void ChunkEncoder::encode_shard(const ZarrLayout& layout, std::string_view elements, ByteSink& sink) {
  const InnerGrid grid(layout);
  const bool checksums = has_checksums(layout);
  std::string index;
  int64_t offset = 0;
  auto store = [&](std::string_view piece) {  // one or more inner chunks
    if (!layout.compress && !checksums) sink.append(piece);
    for (; !piece.empty(); piece.remove_prefix(static_cast<size_t>(grid.bytes))) {
      const std::string_view one = piece.substr(0, static_cast<size_t>(grid.bytes));
      int64_t length = layout.compress ? compress(one, sink) : grid.bytes;
      if (checksums) length += append_with_checksum(one, sink);
      append_index(index, offset, length);
      offset += length;
    }
  };
  if (grid.contiguous()) {
    store(elements);
  } else {
    const int64_t at_once = std::clamp<int64_t>(static_cast<int64_t>(kPieceBytes) / grid.bytes, 1, grid.across);
    char* memory = gathered_.of(static_cast<size_t>(at_once * grid.bytes));
    for (int64_t slab : grid.slabs) {
      for (int64_t first = 0; first < grid.across; first += at_once) {
        const int64_t number = std::min(at_once, grid.across - first);
        grid.gather(elements.data() + slab, first, number, memory);
        store({memory, static_cast<size_t>(number * grid.bytes)});
      }
    }
  }
  append_little_endian(index, crc32c(index), 4);
  sink.append(index);
}

}  // namespace fathom
