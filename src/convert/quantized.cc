#include "convert/quantized.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/bf16.h"
#include "base/error.h"
#include "base/json_text.h"
#include "convert/dequantize.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

using Json = nlohmann::json;

constexpr int64_t kBlock = 128;  // of float8, where config.json says nothing else
constexpr int64_t kFp4Columns = 32;
constexpr size_t kListed = 12;
constexpr std::string_view kScaleInv = "_scale_inv", kScale = ".scale", kWeight = ".weight";
constexpr std::string_view kExponents = "F8_E8M0";

std::string shown(const std::vector<int64_t>& sizes) { return fmt::format("[{}]", fmt::join(sizes, ", ")); }

bool is_float8(const TensorInfo& info) { return info.type.starts_with("F8_") && info.type != kExponents; }
// What may hold two FP4 codes.
bool is_byte(const TensorInfo& info) { return info.type == "I8" || info.type == "U8"; }
bool may_be_scale(const TensorInfo& info) {
  return info.dtype == DType::kF32 || info.dtype == DType::kBF16 || info.type == kExponents || info.type == "U8";
}

// What is wrong with a folder, all of it in one error.
class Faults {
 public:
  void add(std::string_view kind, std::string what) { lists_[std::string(kind)].push_back(std::move(what)); }
  void report(const TensorFolder& folder) const {
    if (lists_.empty()) return;
    std::string text = "its quantized weights cannot be read";
    for (const auto& [kind, list] : lists_) {
      text += fmt::format("\n  {} ({}):", kind, list.size());
      for (size_t i = 0; i < std::min(list.size(), kListed); ++i) text += "\n    " + list[i];
      if (list.size() > kListed) text += fmt::format("\n    ... and {} more", list.size() - kListed);
    }
    throw FormatError(folder.path(), text);
  }

 private:
  std::map<std::string, std::vector<std::string>> lists_;
};

// Rows and columns of a block of float8.
std::pair<int64_t, int64_t> block_of(const TensorFolder& folder) {
  const std::string path = join_path(folder.path(), "config.json");
  const FileStore& store = file_store(path);
  if (store.kind(path) != PathKind::kFile) return {kBlock, kBlock};
  const std::string text = store.read(path);
  require_plain_json(path, text);
  const Json config = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) throw FormatError(path, "it is not a JSON object");
  const auto quantization = config.find("quantization_config");
  if (quantization == config.end() || !quantization->is_object()) return {kBlock, kBlock};
  const auto size = quantization->find("weight_block_size");
  if (size == quantization->end() || size->is_null()) return {kBlock, kBlock};
  auto is_size = [](const Json& n) { return n.is_number_unsigned() && n > 0 && n <= (uint64_t{1} << 30); };
  if (!size->is_array() || size->size() != 2 || !is_size((*size)[0]) || !is_size((*size)[1])) {
    throw FormatError(path, "quantization_config.weight_block_size is " + size->dump() + ", not two sizes");
  }
  return {(*size)[0].get<int64_t>(), (*size)[1].get<int64_t>()};
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The name of the tensor whose scale this would be; nothing for another name.
std::optional<std::string> owner_of(std::string_view name) {
  for (std::string_view suffix : {kScaleInv, kScale}) {
    if (!name.ends_with(suffix) || name.size() == suffix.size()) continue;
    std::string owner(name.substr(0, name.size() - suffix.size()));
    return suffix == kScale ? owner + std::string(kWeight) : owner;
  }
  return std::nullopt;
}

// Whether a name that looks like a scale's is one, though its tensor is not there or is not quantized. ".scale" may be
// the vector of a norm.
bool must_be_scale(std::string_view name, const TensorInfo& info) {
  return name.ends_with(kScaleInv) || info.type == kExponents || (info.sizes.size() > 1 && may_be_scale(info));
}

// The scale's sizes are what the codes' ask for; else a fault is noted.
std::optional<QuantizedTensor::Layout> layout_of(const std::string& name, const TensorInfo& codes,
                                                 const TensorInfo& scale, std::pair<int64_t, int64_t> block,
                                                 Faults& faults) {
  constexpr std::string_view kShapes = "codes and scale do not fit";
  QuantizedTensor::Layout out{.fp4 = is_byte(codes), .sizes = codes.sizes, .scale_sizes = codes.sizes};
  if (!out.fp4 && codes.dtype != DType::kF8E4M3FN) {
    faults.add("a kind of float8 that is not read (only F8_E4M3)", fmt::format("{}: {}", name, codes.type));
    return std::nullopt;
  }
  if (!may_be_scale(scale)) {
    faults.add("scales of another type than F32, BF16, F8_E8M0 or U8", fmt::format("of {}: {}", name, scale.type));
    return std::nullopt;
  }
  const size_t rank = codes.sizes.size();
  if (rank < 2) {
    faults.add(kShapes, fmt::format("{}: {} is no matrix", name, shown(codes.sizes)));
    return std::nullopt;
  }
  out.block_rows = out.fp4 ? 1 : block.first;
  out.block_columns = out.fp4 ? kFp4Columns : block.second;
  if (out.fp4) out.sizes[rank - 1] *= 2;
  out.scale_sizes[rank - 2] = ceil_div(out.sizes[rank - 2], out.block_rows);
  out.scale_sizes[rank - 1] = ceil_div(out.sizes[rank - 1], out.block_columns);
  if (out.scale_sizes != scale.sizes) {
    faults.add(kShapes, fmt::format("{} {} {}: its scale is {}, not {} (one for {} x {} numbers)", name, codes.type,
                                    shown(codes.sizes), shown(scale.sizes), shown(out.scale_sizes), out.block_rows,
                                    out.block_columns));
    return std::nullopt;
  }
  return out;
}

// Scales as they are stored.
void to_floats(const TensorInfo& info, const std::byte* from, std::span<float> to) {
  if (info.dtype == DType::kF32) {
    std::memcpy(to.data(), from, to.size_bytes());
    return;
  }
  for (size_t i = 0; i < to.size(); ++i) {
    if (info.dtype == DType::kBF16) {
      uint16_t bits = 0;
      std::memcpy(&bits, from + 2 * i, sizeof(bits));
      to[i] = bf16_to_float(bits);
    } else {
      to[i] = float_of_e8m0(static_cast<uint8_t>(from[i]));
    }
  }
}

uint64_t next_id() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

}  // namespace

// Of one thread: the codes it works on, and the row of scales it used last.
struct QuantizedTensor::Scratch {
  std::vector<std::byte> codes, stored;
  std::vector<float> floats;
  std::vector<Fp8Scale> scales;
  bool finite = true;  // all of them
  uint64_t id = 0;     // whose scales
  int64_t row = -1;
};

QuantizedTensor::QuantizedTensor(Layout layout, const SafetensorsFile& file, const TensorInfo& codes,
                                 const SafetensorsFile& scale_file, const TensorInfo& scale)
    : layout_(std::move(layout)),
      file_(&file),
      codes_(&codes),
      scale_file_(&scale_file),
      scale_(&scale),
      id_(next_id()) {
  for (int64_t size : layout_.sizes) elements_ *= size;
}

void QuantizedTensor::load_scales(int64_t row, Scratch& scratch) const {
  if (scratch.id == id_ && scratch.row == row) return;
  const int64_t count = layout_.scale_sizes.back(), bytes = count * byte_size(scale_->dtype);
  scratch.id = 0;
  scratch.stored.resize(static_cast<size_t>(bytes));
  scratch.floats.resize(static_cast<size_t>(count));
  scale_file_->read(scale_->offset + row * bytes, scratch.stored);
  to_floats(*scale_, scratch.stored.data(), scratch.floats);
  scratch.finite = std::ranges::all_of(scratch.floats, [](float x) { return std::isfinite(x); });
  scratch.scales.clear();
  if (!layout_.fp4) {
    for (float scale : scratch.floats) scratch.scales.emplace_back(scale);
  }
  scratch.id = id_;
  scratch.row = row;
}

NanNumbers QuantizedTensor::read(int64_t first, std::span<uint16_t> out) const {
  if (layout_.fp4 && first % 2 != 0) {  // from within a byte
    std::vector<uint16_t> more(out.size() + 1);
    const NanNumbers nan = read(first - 1, more);
    std::copy(more.begin() + 1, more.end(), out.begin());
    return nan;
  }
  const SubnormalsKept subnormals;
  thread_local Scratch scratch;
  const auto count = static_cast<int64_t>(out.size());
  const int64_t per_byte = layout_.fp4 ? 2 : 1;
  scratch.codes.resize(static_cast<size_t>(ceil_div(count, per_byte)));
  file_->read(codes_->offset + first / per_byte, scratch.codes);
  const auto* codes = reinterpret_cast<const uint8_t*>(scratch.codes.data());
  const int64_t columns = layout_.sizes.back(), rows = layout_.sizes[layout_.sizes.size() - 2];
  const int64_t scale_rows = layout_.scale_sizes[layout_.scale_sizes.size() - 2];
  NanNumbers nan;
  for (int64_t done = 0; done < count;) {
    const int64_t row = (first + done) / columns, column = (first + done) % columns;
    const ScaledRow piece{column, std::min(columns - column, count - done), layout_.block_columns};
    load_scales(row / rows * scale_rows + row % rows / layout_.block_rows, scratch);
    uint16_t* to = out.data() + done;
    int64_t nan_codes = 0;
    if (layout_.fp4) {
      dequantize_fp4(piece, codes + done / 2, scratch.floats, to);
    } else {
      nan_codes = dequantize_fp8(piece, codes + done, scratch.scales, to);
    }
    nan.codes += nan_codes;
    if (!scratch.finite) {
      nan.scaled += std::count_if(to, to + piece.count, [](uint16_t x) { return (x & 0x7fff) > 0x7f80; }) - nan_codes;
    }
    done += piece.count;
  }
  return nan;
}

Dequantizer::Dequantizer(const TensorFolder& folder) {
  Faults faults;
  std::map<std::string, std::string, std::less<>> scale_of;
  for (const std::string& name : folder.names()) {
    const std::optional<std::string> owner = owner_of(name);
    if (!owner) continue;
    const TensorInfo* codes = folder.find(*owner);
    const bool quantized = codes != nullptr && (is_float8(*codes) || is_byte(*codes));
    if (!quantized && !must_be_scale(name, *folder.find(name))) continue;
    if (codes == nullptr) {
      faults.add("scales without a tensor", name);
    } else if (!quantized) {
      faults.add("scales of tensors that are not quantized", fmt::format("{}: {} is {}", name, *owner, codes->type));
    } else if (!scale_of.emplace(*owner, name).second) {
      faults.add("two scales of one tensor", fmt::format("{} and {}", scale_of.find(*owner)->second, name));
    }
    scales_.insert(name);
  }
  std::optional<std::pair<int64_t, int64_t>> block;
  for (const std::string& name : folder.names()) {
    const TensorInfo& codes = *folder.find(name);
    const auto scale = scale_of.find(name);
    if (scale == scale_of.end()) {
      if (is_float8(codes)) faults.add("FP8 without a scale", fmt::format("{} ({})", name, codes.type));
      continue;
    }
    if (!block) block = block_of(folder);
    const TensorInfo& info = *folder.find(scale->second);
    if (auto layout = layout_of(name, codes, info, *block, faults)) {
      tensors_.try_emplace(name, std::move(*layout), folder.file_of(name), codes, folder.file_of(scale->second), info);
    }
  }
  faults.report(folder);
}

const QuantizedTensor* Dequantizer::find(std::string_view tensor) const {
  auto it = tensors_.find(tensor);
  return it == tensors_.end() ? nullptr : &it->second;
}

}  // namespace fathom
