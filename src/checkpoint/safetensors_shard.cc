#include "checkpoint/safetensors_shard.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/bytes.h"
#include "checkpoint/safetensors.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

// Of the data in the file. 8 is what readers want for views; 64 is a cache line and what plugins take without a copy.
constexpr int64_t kDataAlignment = 64;

// The 8 bytes of length and the header, padded with spaces so that the data begins at a multiple of kDataAlignment.
// `tensors` are in the order of their data.
std::string header_of(const std::vector<TensorSpec>& tensors, const std::map<std::string, std::string>& metadata) {
  Json root = Json::object();
  if (!metadata.empty()) root["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorSpec& spec : tensors) {
    int64_t end = offset + spec.bytes();
    root[spec.name] = {{"dtype", spec.type.empty() ? safetensors_name(spec.dtype) : spec.type},
                       {"shape", spec.sizes},
                       {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string json = root.dump();
  constexpr size_t kLength = sizeof(uint64_t);
  while ((json.size() + kLength) % kDataAlignment != 0) json.push_back(' ');
  std::string out;
  append_little_endian(out, json.size(), kLength);
  return out + json;
}

}  // namespace

int64_t TensorSpec::bytes() const {
  int64_t n = byte_size(dtype);
  for (int64_t size : sizes) n *= size;
  return n;
}

SafetensorsShard::SafetensorsShard(std::string path, std::vector<TensorSpec> tensors,
                                   const std::map<std::string, std::string>& metadata)
    : path_(std::move(path)) {
  std::ranges::stable_sort(
      tensors, [](const TensorSpec& a, const TensorSpec& b) { return byte_size(a.dtype) > byte_size(b.dtype); });
  header_ = header_of(tensors, metadata);
  for (const TensorSpec& spec : tensors) {
    Place& place = places_[spec.name];
    place.offset = bytes();
    place.bytes = spec.bytes();
    data_bytes_ += place.bytes;
  }
}

SafetensorsShard::Found SafetensorsShard::found() const {
  const FileStore& store = file_store(path_);
  const PathKind kind = store.kind(path_);
  if (kind != PathKind::kFile) return kind == PathKind::kAbsent ? Found::kNothing : Found::kOther;
  const int64_t size = store.size(path_);
  std::string begin(static_cast<size_t>(std::min(size, static_cast<int64_t>(header_.size()))), '\0');
  store.open(path_)->read(0, std::as_writable_bytes(std::span(begin)));
  if (!header_.starts_with(begin) || size > bytes()) return Found::kOther;
  return size == bytes() ? Found::kWhole : Found::kCutShort;
}

void SafetensorsShard::begin() {
  file_ = file_store(path_).in_parts(path_);
  file_->write(0, header_);
  file_->resize(bytes());
}

void SafetensorsShard::write(std::string_view name, int64_t first, std::span<const std::byte> bytes) {
  auto it = places_.find(name);
  if (it == places_.end()) throw std::invalid_argument("tensor '" + std::string(name) + "' was not announced");
  Place& place = it->second;
  const auto count = static_cast<int64_t>(bytes.size());
  const bool inside = first >= 0 && first + count <= place.bytes;
  if (inside) place.written += count;
  if (!inside || place.written > place.bytes) {
    throw std::invalid_argument("tensor '" + std::string(name) + "' is written twice or past its end");
  }
  file_->write(place.offset + first, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void SafetensorsShard::require_written() const {
  std::vector<std::string_view> missing;
  for (const auto& [name, place] : places_) {
    if (place.written != place.bytes) missing.push_back(name);
  }
  if (!missing.empty()) throw std::logic_error(fmt::format("tensors not written: {}", fmt::join(missing, ", ")));
}

void SafetensorsShard::finish() {
  require_written();
  file_->finish();
}

}  // namespace fathom
