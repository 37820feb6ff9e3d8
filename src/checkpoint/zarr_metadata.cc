#include "checkpoint/zarr_metadata.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/bf16.h"
#include "base/error.h"
#include "base/half.h"

namespace fathom {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxRank = 32;
// A chunk may stand over the array's edges, but not be a thing of its own size.
constexpr int64_t kMaxPadding = 16;
constexpr int64_t kSmallChunk = int64_t{1} << 30;  // bytes
constexpr int64_t kMaxChunks = int64_t{1} << 22;   // of an array; and inner ones of a chunk: 16 bytes of index each

// Metadata of one array, with errors that name its file.
class Reader {
 public:
  explicit Reader(const JsonPlace& place) : place_(place) {}

  [[noreturn]] void fail(std::string_view what) const { throw FormatError(place_.path, place_.offset, what); }
  // About a value that is missing or is not read.
  [[noreturn]] void fail_value(std::string_view key, const Json* value) const {
    if (value == nullptr) fail(fmt::format("there is no {}", key));
    fail(fmt::format("{} {} is not read", key,
                     value->dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 300)));
  }
  std::vector<int64_t> sizes(const Json& object, const char* key) const {
    return json_sizes(place_, json_member(object, key), key);
  }
  // A string, or nothing.
  static std::string text(const Json* value) {
    return value != nullptr && value->is_string() ? value->get<std::string>() : "";
  }
  static std::string text(const Json& object, const char* key) { return text(json_member(object, key)); }

  // Checks what both versions have; the array's own fields are set.
  void check(const ZarrArray& array) const;

 private:
  void check_chunks(const ZarrArray& array) const;

  const JsonPlace& place_;
};

int64_t checked_product(std::span<const int64_t> sizes, int64_t limit) {
  int64_t product = 1;
  for (int64_t size : sizes) {
    if (size == 0) return 0;
    if (product > limit / size) return -1;
    product *= size;
  }
  return product;
}

void Reader::check(const ZarrArray& array) const {
  if (array.sizes.size() > kMaxRank) fail(fmt::format("an array of {} axes", array.sizes.size()));
  if (array.chunk.size() != array.sizes.size()) {
    fail(fmt::format("chunks of {} axes for an array of {}", array.chunk.size(), array.sizes.size()));
  }
  if (!checked_bytes(array.dtype, array.sizes)) {
    fail(fmt::format("the shape [{}] is of more bytes than can be", fmt::join(array.sizes, ", ")));
  }
  check_chunks(array);
  if (!array.shards) return;
  const std::vector<int64_t>& inner = array.shards->inner;
  if (inner.size() != array.sizes.size()) fail("inner chunks with another number of axes than the array");
  for (size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] == 0 || array.chunk[i] % inner[i] != 0) {
      fail(fmt::format("inner chunks [{}] do not divide the chunk [{}]", fmt::join(inner, ", "),
                       fmt::join(array.chunk, ", ")));
    }
  }
  std::vector<int64_t> grid;
  for (size_t i = 0; i < inner.size(); ++i) grid.push_back(array.chunk[i] / inner[i]);
  if (checked_product(grid, kMaxChunks) < 0) fail("more inner chunks than a chunk may have");
}

void Reader::check_chunks(const ZarrArray& array) const {
  if (std::ranges::count(array.chunk, 0) > 0) fail(fmt::format("chunks [{}] are empty", fmt::join(array.chunk, ", ")));
  const std::optional<int64_t> bytes = checked_bytes(array.dtype, array.chunk);
  const int64_t whole = *checked_bytes(array.dtype, array.sizes);
  if (!bytes || (*bytes > kSmallChunk && *bytes / kMaxPadding > whole)) {
    fail(fmt::format("chunks [{}] are too large for an array of {} bytes", fmt::join(array.chunk, ", "), whole));
  }
  if (checked_product(array.grid(), kMaxChunks) < 0) {
    fail(fmt::format("more chunks [{}] than an array may have", fmt::join(array.chunk, ", ")));
  }
}

// Along an axis without elements a chunk of none is one of any size.
void need_no_chunk(ZarrArray& array) {
  for (size_t i = 0; i < std::min(array.sizes.size(), array.chunk.size()); ++i) {
    if (array.sizes[i] == 0 && array.chunk[i] == 0) array.chunk[i] = 1;
  }
}

// ---- The element of chunks that are not stored ----

template <class T>
std::vector<std::byte> bytes_of(T value) {
  std::vector<std::byte> out(sizeof value);
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

std::vector<std::byte> float_fill(DType dtype, double value) {
  switch (dtype) {
    case DType::kF16:
      return bytes_of(float_to_half(static_cast<float>(value)));
    case DType::kBF16:
      return bytes_of(float_to_bf16(static_cast<float>(value)));
    case DType::kF32:
      return bytes_of(static_cast<float>(value));
    case DType::kF64:
      return bytes_of(value);
    default:
      return {};  // float8: only 0, which fill_of knows
  }
}

// "0x7fc00000": the bits of the element, highest first.
std::vector<std::byte> hex_fill(std::string_view digits, size_t width) {
  uint64_t bits = 0;
  auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16);
  if (fault != std::errc() || end != digits.data() + digits.size() || digits.size() > 2 * width) return {};
  std::vector<std::byte> out(width);
  std::memcpy(out.data(), &bits, width);
  return out;
}

std::vector<std::byte> fill_of(DType dtype, const Json* value) {
  const auto width = static_cast<size_t>(byte_size(dtype));
  const std::vector<std::byte> zeros(width);
  if (value == nullptr) return zeros;
  if (value->is_boolean()) return dtype == DType::kBool ? bytes_of(value->get<bool>()) : std::vector<std::byte>();
  if (value->is_number()) {
    if (value->get<double>() == 0 && !std::signbit(value->get<double>())) return zeros;
    if (dtype == DType::kBool) return bytes_of(true);
    if (is_float(dtype)) return float_fill(dtype, value->get<double>());
    if (!value->is_number_integer()) return {};
    const auto bits = value->get<uint64_t>();  // of a negative number: its two's complement
    std::vector<std::byte> out(width);
    std::memcpy(out.data(), &bits, width);
    return out;
  }
  const std::string text = Reader::text(value);
  if (text.starts_with("0x")) return hex_fill(std::string_view(text).substr(2), width);
  if (text == "NaN") return float_fill(dtype, std::numeric_limits<double>::quiet_NaN());
  if (text == "Infinity") return float_fill(dtype, std::numeric_limits<double>::infinity());
  if (text == "-Infinity") return float_fill(dtype, -std::numeric_limits<double>::infinity());
  return {};
}

// ---- Version 2 ----

// "<f4", "|b1", ">i8", or a name such as "bfloat16".
std::optional<DType> zarr2_dtype(const std::string& text, bool* is_big_endian) {
  if (std::optional<DType> named = parse_dtype(text)) return named;
  if (text.size() != 3 || std::string_view("<>|").find(text[0]) == std::string_view::npos) return std::nullopt;
  *is_big_endian = text[0] == '>';
  constexpr std::pair<std::string_view, DType> kNames[] = {
      {"b1", DType::kBool}, {"i1", DType::kS8},  {"i2", DType::kS16}, {"i4", DType::kS32},
      {"i8", DType::kS64},  {"u1", DType::kU8},  {"u2", DType::kU16}, {"u4", DType::kU32},
      {"u8", DType::kU64},  {"f2", DType::kF16}, {"f4", DType::kF32}, {"f8", DType::kF64},
  };
  for (const auto& [name, dtype] : kNames) {
    if (name == std::string_view(text).substr(1)) return dtype;
  }
  return std::nullopt;
}

std::vector<ZarrCodec> zarr2_compressor(const Reader& reader, const Json& root) {
  const Json* compressor = json_member(root, "compressor");
  if (compressor == nullptr) return {};
  const std::string id = Reader::text(*compressor, "id");
  if (id == "zstd") return {ZarrCodec::kZstd};
  if (id == "gzip") return {ZarrCodec::kGzip};
  if (id == "zlib") return {ZarrCodec::kZlib};
  if (id == "blosc") return {ZarrCodec::kBlosc};
  reader.fail_value("compressor", compressor);
}

// ---- Version 3 ----

bool is_big(const Reader& reader, const Json* configuration, size_t width) {
  const Json* endian = configuration == nullptr ? nullptr : json_member(*configuration, "endian");
  if (endian == nullptr && width == 1) return false;
  const std::string text = Reader::text(endian);
  if (text != "little" && text != "big") reader.fail_value("endian", endian);
  return text == "big";
}

std::vector<size_t> transposed(const Reader& reader, const Json* configuration, const std::vector<size_t>& before,
                               size_t rank) {
  if (configuration == nullptr) reader.fail("transpose without its order");
  const std::vector<int64_t> order = reader.sizes(*configuration, "order");
  std::vector<bool> seen(rank);
  std::vector<size_t> out;
  for (int64_t axis : order) {
    if (axis >= static_cast<int64_t>(rank) || seen[static_cast<size_t>(axis)]) break;
    seen[static_cast<size_t>(axis)] = true;
    out.push_back(before.empty() ? static_cast<size_t>(axis) : before[static_cast<size_t>(axis)]);
  }
  if (out.size() != rank || order.size() != rank) reader.fail("the order of transpose is not one of the axes");
  return out;
}

// Codecs up to the one that makes bytes, and those behind it. A sharding codec is given back instead of being read.
const Json* read_codecs(const Reader& reader, const Json* list, size_t rank, size_t width, ZarrCodecs& out) {
  if (list == nullptr || !list->is_array()) reader.fail_value("list of codecs", list);
  constexpr std::pair<std::string_view, ZarrCodec> kCodecs[] = {{"zstd", ZarrCodec::kZstd},
                                                                {"gzip", ZarrCodec::kGzip},
                                                                {"blosc", ZarrCodec::kBlosc},
                                                                {"crc32c", ZarrCodec::kCrc32c}};
  bool has_bytes = false;
  for (const Json& codec : *list) {
    const std::string name = codec.is_string() ? Reader::text(&codec) : Reader::text(codec, "name");
    const Json* configuration = json_member(codec, "configuration");
    if (!has_bytes && name == "transpose") {
      out.order = transposed(reader, configuration, out.order, rank);
    } else if (!has_bytes && name == "bytes") {
      out.is_big_endian = is_big(reader, configuration, width);
      has_bytes = true;
    } else if (name == "sharding_indexed" && list->size() == 1 && configuration != nullptr) {
      return configuration;
    } else {
      const auto* found = std::ranges::find(kCodecs, name, [](const auto& row) { return row.first; });
      if (found == std::end(kCodecs) || !has_bytes) reader.fail_value("codec at this place:", &codec);
      out.bytes.push_back(found->second);
    }
  }
  if (!has_bytes) reader.fail("no codec makes bytes");
  return nullptr;
}

ZarrShards read_shards(const Reader& reader, const Json& configuration, size_t rank, size_t width, ZarrCodecs& inner) {
  ZarrShards out;
  out.inner = reader.sizes(configuration, "chunk_shape");
  if (read_codecs(reader, json_member(configuration, "codecs"), rank, width, inner) != nullptr) {
    reader.fail("shards inside shards are not read");
  }
  const Json* place = json_member(configuration, "index_location");
  const std::string location = place == nullptr ? "end" : Reader::text(place);
  if (location != "end" && location != "start") reader.fail_value("index_location", place);
  out.is_index_at_end = location == "end";
  ZarrCodecs index;
  if (read_codecs(reader, json_member(configuration, "index_codecs"), rank + 1, 8, index) != nullptr ||
      !index.order.empty() || index.bytes.size() > 1 ||
      (index.bytes.size() == 1 && index.bytes[0] != ZarrCodec::kCrc32c)) {
    reader.fail_value("index_codecs", json_member(configuration, "index_codecs"));
  }
  out.is_index_big_endian = index.is_big_endian;
  out.has_index_checksum = !index.bytes.empty();
  return out;
}

void read_key_encoding(const Reader& reader, const Json& root, ZarrArray& array) {
  const Json* encoding = json_member(root, "chunk_key_encoding");
  const std::string name = encoding == nullptr ? "" : Reader::text(*encoding, "name");
  if (name != "default" && name != "v2") reader.fail_value("chunk_key_encoding", encoding);
  array.key_prefix = name == "default" ? "c" : "";
  const Json* configuration = json_member(*encoding, "configuration");
  const Json* separator = configuration == nullptr ? nullptr : json_member(*configuration, "separator");
  const std::string text = separator != nullptr ? Reader::text(separator) : name == "default" ? "/" : ".";
  if (text != "/" && text != ".") reader.fail_value("separator", separator);
  array.separator = text[0];
}

}  // namespace

std::optional<int64_t> checked_bytes(DType dtype, std::span<const int64_t> sizes) {
  constexpr int64_t kMost = int64_t{1} << 62;
  const int64_t elements = checked_product(sizes, kMost / byte_size(dtype));
  return elements < 0 ? std::nullopt : std::optional(elements * byte_size(dtype));
}

std::vector<int64_t> ZarrArray::grid() const {
  std::vector<int64_t> out;
  for (size_t i = 0; i < sizes.size(); ++i) out.push_back(sizes[i] / chunk[i] + (sizes[i] % chunk[i] != 0 ? 1 : 0));
  return out;
}

std::string ZarrArray::chunk_key(std::span<const int64_t> place) const {
  std::string out = key_prefix;
  for (int64_t n : place) {
    if (!out.empty()) out += separator;
    out += std::to_string(n);
  }
  return out.empty() ? "0" : out;
}

ZarrArray parse_zarr2(const JsonPlace& place, std::string_view text) {
  const Json root = parse_json(place, text);
  const Reader reader(place);
  ZarrArray array;
  if (const Json* version = json_member(root, "zarr_format"); version == nullptr || *version != 2) {
    reader.fail_value("zarr_format", version);
  }
  const std::optional<DType> dtype = zarr2_dtype(Reader::text(root, "dtype"), &array.codecs.is_big_endian);
  if (!dtype) reader.fail_value("dtype", json_member(root, "dtype"));
  array.dtype = *dtype;
  array.sizes = reader.sizes(root, "shape");
  array.chunk = reader.sizes(root, "chunks");
  array.codecs.bytes = zarr2_compressor(reader, root);
  if (const Json* filters = json_member(root, "filters"); filters != nullptr && !filters->empty()) {
    reader.fail_value("filters", filters);
  }
  const std::string order = Reader::text(root, "order");
  if (order != "C" && order != "F") reader.fail_value("order", json_member(root, "order"));
  const Json* separator = json_member(root, "dimension_separator");
  const std::string between = separator == nullptr ? "." : Reader::text(separator);
  if (between != "." && between != "/") reader.fail_value("dimension_separator", separator);
  array.separator = between[0];
  array.fill = fill_of(array.dtype, json_member(root, "fill_value"));
  need_no_chunk(array);
  reader.check(array);
  if (order == "F" && array.sizes.size() > 1) {
    for (size_t i = array.sizes.size(); i-- > 0;) array.codecs.order.push_back(i);
  }
  return array;
}

ZarrArray parse_zarr3(const JsonPlace& place, std::string_view text) {
  const Json root = parse_json(place, text);
  const Reader reader(place);
  ZarrArray array;
  if (const Json* version = json_member(root, "zarr_format"); version == nullptr || *version != 3) {
    reader.fail_value("zarr_format", version);
  }
  if (Reader::text(root, "node_type") != "array") reader.fail_value("node_type", json_member(root, "node_type"));
  const std::optional<DType> dtype = parse_dtype(Reader::text(root, "data_type"));
  if (!dtype) reader.fail_value("data_type", json_member(root, "data_type"));
  array.dtype = *dtype;
  array.sizes = reader.sizes(root, "shape");
  const Json* grid = json_member(root, "chunk_grid");
  if (grid == nullptr || Reader::text(*grid, "name") != "regular") reader.fail_value("chunk_grid", grid);
  const Json* regular = json_member(*grid, "configuration");
  if (regular == nullptr) reader.fail("a chunk_grid without its configuration");
  array.chunk = reader.sizes(*regular, "chunk_shape");
  read_key_encoding(reader, root, array);
  if (const Json* transformers = json_member(root, "storage_transformers");
      transformers != nullptr && !transformers->empty()) {
    reader.fail_value("storage_transformers", transformers);
  }
  const size_t rank = array.sizes.size();
  if (rank > kMaxRank) reader.fail(fmt::format("an array of {} axes", rank));
  const auto width = static_cast<size_t>(byte_size(array.dtype));
  if (const Json* shards = read_codecs(reader, json_member(root, "codecs"), rank, width, array.codecs)) {
    array.shards = read_shards(reader, *shards, rank, width, array.codecs);
  }
  array.fill = fill_of(array.dtype, json_member(root, "fill_value"));
  need_no_chunk(array);
  reader.check(array);
  return array;
}

}  // namespace fathom
