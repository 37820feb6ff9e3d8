#include "checkpoint/stored_weights.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace fathom {
namespace {

StoredTensor stored(const std::string& name, const TensorInfo& info) {
  const std::string_view type = info.type == safetensors_name(info.dtype) ? fathom::name(info.dtype) : info.type;
  return {.name = name, .dtype = info.dtype, .sizes = info.sizes, .bytes = info.bytes, .type = type};
}

void read_box(const SafetensorsFile& file, const TensorInfo& info, const ArraySlice& box, std::span<std::byte> out) {
  const int64_t width = byte_size(info.dtype);
  const SliceRuns runs(info.sizes, box);
  const auto length = static_cast<size_t>(runs.length() * width);
  for (int64_t k = 0; k < runs.count(); ++k) {
    file.read(info.offset + runs.place(k) * width, out.subspan(static_cast<size_t>(k) * length, length));
  }
}

void read_box(const OrbaxFolder& folder, const StoredArray& array, const ArraySlice& box, std::span<std::byte> out) {
  const int64_t width = byte_size(array.dtype), elements = array.bytes() / width;
  const SliceRuns wanted(array.sizes, box);
  folder.read(array, std::span(&box, 1), [&](const StoredPiece& piece) {
    const SliceRuns runs(array.sizes, *piece.box);
    for (int64_t at = piece.first; at < piece.first + piece.count;) {
      const int64_t within = at % runs.length();
      const int64_t count = std::min(runs.length() - within, piece.first + piece.count - at);
      const int64_t begin = runs.place(at / runs.length()) + within;
      for_each_run(wanted, begin, std::min(begin + count, elements), [&](int64_t from, int64_t to, int64_t length) {
        std::memcpy(out.data() + to * width, piece.data + (at - piece.first + from - begin) * width,
                    static_cast<size_t>(length * width));
      });
      at += count;
    }
  });
}

}  // namespace

std::string_view name(WeightsFormat format) { return format == WeightsFormat::kOrbax ? "orbax" : "safetensors"; }

StoredWeights StoredWeights::open(const std::string& path) {
  StoredWeights out;
  out.path_ = path;
  const PathKind kind = file_store(path).kind(path);
  if (kind == PathKind::kAbsent) throw ConfigError(path + ": no such file or folder");
  if (kind == PathKind::kFile) {
    out.file_ = SafetensorsFile::open(path);
    for (const std::string& name : out.file_->names()) out.tensors_.push_back(stored(name, *out.file_->find(name)));
    std::ranges::sort(out.tensors_, {}, &StoredTensor::name);
  } else if (TensorFolder::is_model_folder(path)) {
    out.folder_ = TensorFolder::open(path);
    out.tensors_.reserve(out.folder_->names().size());
    for (const std::string& name : out.folder_->names()) {
      out.tensors_.push_back(stored(name, *out.folder_->find(name)));
    }
  } else if (OrbaxFolder::is_checkpoint(path)) {
    out.orbax_ = OrbaxFolder::open(path);
    for (const StoredArray& array : out.orbax_->arrays()) {
      out.tensors_.push_back({array.name, array.dtype, array.sizes, array.bytes(), fathom::name(array.dtype)});
    }
  } else {
    throw ConfigError(
        fmt::format("{}: neither a Hugging Face folder ({} or {}), nor a .safetensors file, nor an Orbax "
                    "checkpoint",
                    path, kModelFile, kModelIndex));
  }
  return out;
}

const StoredTensor* StoredWeights::find(std::string_view name) const {
  auto it = std::ranges::lower_bound(tensors_, name, {}, &StoredTensor::name);
  return it == tensors_.end() || it->name != name ? nullptr : &*it;
}

void StoredWeights::read(const StoredTensor& tensor, const ArraySlice& box, std::span<std::byte> out) const {
  if (orbax_) {
    read_box(*orbax_, *orbax_->find(tensor.name), box, out);
  } else {
    const SafetensorsFile& file = folder_ ? folder_->file_of(tensor.name) : *file_;
    read_box(file, *file.find(tensor.name), box, out);
  }
}

}  // namespace fathom
