#include "checkpoint/safetensors.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/bytes.h"
#include "base/error.h"
#include "base/json_text.h"
#include "checkpoint/plain_json.h"

namespace fathom {
namespace {

using Json = nlohmann::json;

constexpr int64_t kLengthBytes = 8;

struct DTypeName {
  DType dtype;
  std::string_view name;
};

constexpr DTypeName kDTypeNames[] = {
    {DType::kBool, "BOOL"},        {DType::kS8, "I8"},          {DType::kS16, "I16"},   {DType::kS32, "I32"},
    {DType::kS64, "I64"},          {DType::kU8, "U8"},          {DType::kU16, "U16"},   {DType::kU32, "U32"},
    {DType::kU64, "U64"},          {DType::kF16, "F16"},        {DType::kBF16, "BF16"}, {DType::kF32, "F32"},
    {DType::kF8E4M3FN, "F8_E4M3"}, {DType::kF8E5M2, "F8_E5M2"}, {DType::kF64, "F64"},
};

// Types without a DType, as their bytes.
constexpr std::string_view kByteTypes[] = {"F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

// False for a spelling that is not known.
bool set_type(std::string_view type, TensorInfo& info) {
  const auto* bytes = std::ranges::find(kByteTypes, type);
  const std::optional<DType> dtype = bytes == std::end(kByteTypes) ? parse_safetensors_name(type) : DType::kU8;
  if (!dtype) return false;
  info.dtype = *dtype;
  info.type = bytes == std::end(kByteTypes) ? safetensors_name(*dtype) : *bytes;
  return true;
}

// Bytes of a tensor of these sizes; nothing when they are more than 2^63.
std::optional<int64_t> byte_count(const TensorInfo& info) {
  // A size of 0 after an overflow still makes the tensor empty.
  if (std::ranges::find(info.sizes, 0) != info.sizes.end()) return 0;
  int64_t bytes = byte_size(info.dtype);
  for (int64_t size : info.sizes) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
  }
  return bytes;
}

// The entry of a tensor in a plain header. False at whatever is not plain, or wrong.
bool read_plain_entry(PlainJson& json, TensorInfo& info) {
  unsigned seen = 0;
  std::vector<int64_t> offsets;
  const bool is_plain = json.object([&](std::string_view key) {
    if (key == "shape" && (seen & 1U) == 0) {
      seen |= 1U;
      return json.numbers(info.sizes);
    }
    if (key == "data_offsets" && (seen & 2U) == 0) {
      seen |= 2U;
      return json.numbers(offsets);
    }
    std::string_view name;
    if (key != "dtype" || (seen & 4U) != 0 || !json.string(name)) return false;
    seen |= 4U;
    return set_type(name, info);
  });
  if (!is_plain || seen != 7U || offsets.size() != 2 || offsets[0] > offsets[1]) return false;
  info.offset = offsets[0];
  info.bytes = offsets[1] - offsets[0];
  return byte_count(info) == info.bytes;
}

// The header of one file, with errors that say where in the file.
class Header {
 public:
  Header(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  // Throws FormatError when the text is not one JSON object, or when a name stands twice in an object.
  Json parse() const {
    if (text_.empty() || text_[0] != '{') fail_at(kLengthBytes, "the header does not begin with '{'");
    if (size_t deep = find_deep_json(text_); deep != std::string_view::npos) {
      fail_at(kLengthBytes + static_cast<int64_t>(deep), std::string(kDeepJson));
    }
    std::vector<std::set<std::string>> seen;  // names of the open objects
    auto check = [&](int, Json::parse_event_t event, Json& value) {
      if (event == Json::parse_event_t::object_start) seen.emplace_back();
      if (event == Json::parse_event_t::object_end) seen.pop_back();
      if (event == Json::parse_event_t::key && !seen.back().insert(value.get_ref<const std::string&>()).second) {
        fail(value.get<std::string>(), "the name stands twice in the header");
      }
      return true;
    };
    try {
      return Json::parse(text_, check);
    } catch (const Json::exception& e) {
      const JsonMistake mistake = json_mistake(e);
      fail_at(kLengthBytes + static_cast<int64_t>(mistake.place.value_or(0)), "the header is " + mistake.text);
    }
  }

  // `offset` in TensorInfo counts from the beginning of the data here.
  TensorInfo tensor(const std::string& name, const Json& entry) const {
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!entry.is_object() || !entry.contains(key)) fail(name, std::string("the entry has no \"") + key + "\"");
    }
    TensorInfo info;
    read_type(name, entry["dtype"], info);
    info.sizes = numbers(name, "shape", entry["shape"]);
    std::vector<int64_t> offsets = numbers(name, "data_offsets", entry["data_offsets"]);
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      fail(name, "data_offsets is not [begin, end] but " + entry["data_offsets"].dump());
    }
    info.offset = offsets[0];
    info.bytes = offsets[1] - offsets[0];
    check_size(name, info);
    return info;
  }

  // At the tensor's entry where it can be found (its name may be spelled with escapes), else at the header.
  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    size_t place = text_.find(Json(name).dump(-1, ' ', false, Json::error_handler_t::replace));
    fail_at(kLengthBytes + (place == std::string_view::npos ? 0 : static_cast<int64_t>(place)),
            "tensor '" + name + "': " + what);
  }

  [[noreturn]] void fail_at(int64_t offset, const std::string& what) const { throw FormatError(path_, offset, what); }

 private:
  void read_type(const std::string& name, const Json& value, TensorInfo& info) const {
    if (!value.is_string()) fail(name, "dtype is not a string");
    if (!set_type(value.get_ref<const std::string&>(), info)) {
      fail(name, "element type " + value.dump() + " is not supported");
    }
  }

  // The non-negative integers of a list.
  std::vector<int64_t> numbers(const std::string& name, const char* key, const Json& list) const {
    std::vector<int64_t> out;
    if (!list.is_array()) fail(name, std::string(key) + " is not a list");
    for (const Json& n : list) {
      constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
      if (!n.is_number_unsigned() || n.get<uint64_t>() > kMax) {
        fail(name, std::string(key) + " holds " + n.dump() + ", which is not a size");
      }
      out.push_back(n.get<int64_t>());
    }
    return out;
  }

  void check_size(const std::string& name, const TensorInfo& info) const {
    const std::optional<int64_t> expected = byte_count(info);
    if (expected == info.bytes) return;
    fail(name, fmt::format("shape [{}] of {} needs {} bytes, but data_offsets gives it {}", fmt::join(info.sizes, ", "),
                           info.type, expected ? std::to_string(*expected) : "more than 2^63", info.bytes));
  }

  const std::string& path_;
  std::string_view text_;
};

int64_t length_before_header(const std::byte* bytes) {
  uint64_t length = little_endian({reinterpret_cast<const char*>(bytes), kLengthBytes});
  return static_cast<int64_t>(std::min<uint64_t>(length, std::numeric_limits<int64_t>::max()));
}

// Length of the header, which must fit into the file.
int64_t header_length(const std::string& path, const std::byte* prefix, int64_t file_size) {
  int64_t length = length_before_header(prefix);
  if (length > kMaxSafetensorsHeader) {
    throw FormatError(path, 0,
                      fmt::format("the header would be {} bytes long, more than the {} that the format allows: "
                                  "this is not a safetensors file",
                                  length, kMaxSafetensorsHeader));
  }
  if (length > file_size - kLengthBytes) {
    throw FormatError(path, 0,
                      fmt::format("the header is {} bytes long, but the file has only {} after its length: the "
                                  "file is cut short",
                                  length, file_size - kLengthBytes));
  }
  return length;
}

}  // namespace

std::string_view safetensors_name(DType dtype) {
  for (const DTypeName& row : kDTypeNames) {
    if (row.dtype == dtype) return row.name;
  }
  throw std::invalid_argument("safetensors has no element type " + std::string(name(dtype)));
}

std::optional<DType> parse_safetensors_name(std::string_view name) {
  for (const DTypeName& row : kDTypeNames) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  std::shared_ptr<SafetensorsFile> file(new SafetensorsFile(path));
  file->reader_ = file_store(path).open(path);
  const int64_t size = file->reader_->size();
  if (size < kLengthBytes) {
    throw FormatError(path, 0, fmt::format("{} bytes are too few for a safetensors file", size));
  }
  std::byte prefix[kLengthBytes];
  file->read(0, prefix);
  std::string header(static_cast<size_t>(header_length(path, prefix, size)), '\0');
  file->read(kLengthBytes, std::as_writable_bytes(std::span(header)));
  file->read_header(header, kLengthBytes + static_cast<int64_t>(header.size()), size);
  return file;
}

bool SafetensorsFile::read_plain_header(std::string_view header) {
  if (!header.starts_with('{')) return false;
  PlainJson json(header);
  bool has_metadata = false;
  const bool is_plain = json.object([&](std::string_view name) {
    if (name == "__metadata__") {
      if (std::exchange(has_metadata, true)) return false;
      return json.object([&](std::string_view key) {
        std::string_view value;
        return json.string(value) && metadata_.emplace(key, value).second;
      });
    }
    TensorInfo info;
    if (!read_plain_entry(json, info)) return false;
    const size_t before = tensors_.size();
    tensors_.emplace_hint(tensors_.end(), name, std::move(info));  // most headers are sorted
    return tensors_.size() > before;
  });
  if (is_plain && json.at_end()) return true;
  metadata_.clear();
  tensors_.clear();
  return false;
}

void SafetensorsFile::read_header(std::string_view header, int64_t data_begin, int64_t file_size) {
  const Header reader(path_, header);
  const Json root = read_plain_header(header) ? Json::object() : reader.parse();
  for (const auto& [name, entry] : root.items()) {
    if (name != "__metadata__") {
      tensors_.emplace(name, reader.tensor(name, entry));
      continue;
    }
    if (!entry.is_object()) reader.fail_at(kLengthBytes, "__metadata__ is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) reader.fail_at(kLengthBytes, "__metadata__: the value of '" + key + "' is not a string");
      metadata_.emplace(key, value.get<std::string>());
    }
  }

  std::vector<std::pair<const std::string*, TensorInfo*>> placed;
  for (auto& [name, info] : tensors_) placed.emplace_back(&name, &info);
  std::ranges::stable_sort(placed, {}, [](const auto& p) { return std::pair(p.second->offset, p.second->bytes); });
  int64_t end = 0;
  for (auto [name, info] : placed) {
    if (info->offset != end) {
      reader.fail(*name, fmt::format("its data begins at {}, {} the end {} of the tensor before it", info->offset,
                                     info->offset < end ? "before" : "past", end));
    }
    if (info->bytes > file_size - data_begin - end) {
      reader.fail(*name, fmt::format("its {} bytes end past the end of the file ({} bytes): the file is cut short",
                                     info->bytes, file_size));
    }
    end += info->bytes;
    info->offset += data_begin;
    names_.push_back(*name);
  }
  if (end != file_size - data_begin) {
    reader.fail_at(data_begin + end,
                   fmt::format("{} bytes follow the last tensor, which no tensor names", file_size - data_begin - end));
  }
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

HostArray SafetensorsFile::tensor(std::string_view name) const {
  const TensorInfo* info = find(name);
  if (info == nullptr) throw FormatError(path_, "no tensor '" + std::string(name) + "'");
  HostArray out = HostArray::allocate(info->dtype, info->sizes);
  std::span<std::byte> bytes(out.mutable_data(), static_cast<size_t>(info->bytes));
  if (!bytes.empty()) read(info->offset, bytes);
  return out;
}

}  // namespace fathom
