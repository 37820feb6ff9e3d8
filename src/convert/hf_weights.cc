#include "convert/hf_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/parallel_for.h"
#include "convert/slice_reader.h"
#include "convert/weight_findings.h"
#include "model/left_off.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

std::string with(std::string pattern, std::string_view placeholder, int64_t number) {
  size_t at = pattern.find(placeholder);
  if (at != std::string::npos) pattern.replace(at, placeholder.size(), std::to_string(number));
  return pattern;
}

// The places of an array's tensors: calls f(number of the layer, expert, first element in our array).
template <class F>
void for_each_place(const ModelConfig& config, const Param& param, const ParamArray& array, int64_t experts, F f) {
  const int64_t elements = param.type.shape.elements() / experts;
  const Stack stack = param.stack ? stacks(config)[*param.stack] : Stack{.count = 1};
  const bool one_layer = !param.stack || array.layer >= 0;
  const int64_t first = one_layer ? std::max<int64_t>(array.layer, 0) : 0;
  const int64_t count = one_layer ? 1 : stack.count;
  for (int64_t l = 0; l < count; ++l) {
    for (int64_t e = 0; e < experts; ++e) f(stack.first + first + l, e, (l * experts + e) * elements);
  }
}

constexpr std::string_view kExpert = "{expert}";

// Layers that the folder has and the model has not, or the other way round.
void check_layers(const LeftOff& left_off, const TensorFolder& folder, const ModelConfig& config,
                  WeightFindings& findings) {
  std::set<int64_t> there;
  for (const std::string& name : folder.names()) {
    std::optional<int64_t> layer = left_off.layer_of(name);
    if (layer && !left_off(name)) there.insert(*layer);
  }
  const std::string counted = fmt::format("num_hidden_layers (base_num_decoder_layers) is {}", config.layers);
  const int64_t rows = config.layers + config.prediction_layers;
  for (int64_t layer : there) {
    if (layer >= rows) findings.add(counted + ", but there are also", fmt::format("model.layers.{}", layer));
  }
  for (int64_t layer = 0; layer < config.layers && !there.empty(); ++layer) {
    if (!there.contains(layer)) findings.add(counted + ", but there are not", fmt::format("model.layers.{}", layer));
  }
}

// A folder whose tensors were dequantised and whose config.json was not told.
void note_quantization(const TensorFolder& folder, const Dequantizer& dequantizer) {
  if (dequantizer.any()) return;
  const std::string path = join_path(folder.path(), "config.json");
  const FileStore& store = file_store(path);
  if (store.kind(path) != PathKind::kFile) return;
  const std::string text = store.read(path);
  require_plain_json(path, text);
  const auto config = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || !config.contains("quantization_config") || config["quantization_config"].is_null()) return;
  log_warning("{}: quantization_config: no tensor of the folder is quantized; they are read as they are", path);
}

// The elements of an array between the first and the last (exclusive) that one of the slices holds.
std::pair<int64_t, int64_t> extent(const std::vector<int64_t>& sizes, std::span<const SliceMemory> slices) {
  int64_t first = element_count(sizes), last = 0;
  for (const SliceMemory& memory : slices) {
    const SliceRuns runs(sizes, memory.slice);
    if (runs.count() == 0) continue;
    first = std::min(first, runs.place(0));
    last = std::max(last, runs.place(runs.count() - 1) + runs.length());
  }
  return {first, last};
}

// Whether two tensors are equal, read a piece at a time.
bool same_numbers(const TensorFolder& folder, const Dequantizer& dequantizer, const std::string& a,
                  const std::string& b) {
  constexpr int64_t kPiece = int64_t{1} << 20;  // elements
  const TensorInfo &x = *folder.find(a), &y = *folder.find(b);
  if (x.sizes != y.sizes) return false;
  const int64_t elements = x.bytes / byte_size(x.dtype);
  std::atomic<bool> same = true;
  parallel_for((elements + kPiece - 1) / kPiece, [&](int64_t i) {
    const int64_t first = i * kPiece, count = std::min(kPiece, elements - first);
    auto numbers = [&](const std::string& name, const TensorInfo& info) {
      if (const QuantizedTensor* quantized = dequantizer.find(name)) {
        HostArray out = HostArray::allocate(DType::kBF16, {count});
        quantized->read(first, out.mutable_view<uint16_t>());
        return convert(out, DType::kF32);
      }
      const int64_t width = byte_size(info.dtype);
      HostArray out = HostArray::allocate(info.dtype, {count});
      folder.file_of(name).read(info.offset + first * width, {out.mutable_data(), static_cast<size_t>(count * width)});
      return x.dtype == y.dtype ? out : convert(out, DType::kF32);
    };
    const HostArray left = numbers(a, x), right = numbers(b, y);
    if (std::memcmp(left.data(), right.data(), static_cast<size_t>(left.bytes())) != 0) same = false;
  });
  return same;
}

}  // namespace

std::vector<HfPart> hf_parts(const ModelConfig& config, const Param& param, const ParamArray& array) {
  const bool routed = param.hf.find(kExpert) != std::string::npos;
  const int64_t experts = routed ? param.type.shape[0].size : 1;
  const int64_t elements = param.type.shape.elements() / experts;
  std::vector<HfPart> out;
  for_each_place(config, param, array, experts, [&](int64_t layer, int64_t expert, int64_t offset) {
    std::string name = with(with(param.hf, "{layer}", layer), kExpert, expert);
    out.push_back({std::move(name), param.hf_sizes, offset, elements});
  });
  return out;
}

size_t axes_of_parts(const Param& param, const ParamArray& array) {
  return static_cast<size_t>(array.type.shape.rank() - param.type.shape.rank()) + (param.routed ? 1 : 0);
}

std::vector<HfPart> stacked_parts(const ModelConfig& config, const Param& param, const ParamArray& array) {
  const size_t at = param.hf.find(kExpert);
  if (at == std::string::npos) return {};
  const std::string_view leaf = std::string_view(param.hf).substr(at + kExpert.size());
  const bool down = leaf == ".down_proj.weight", up = leaf == ".up_proj.weight";
  const int64_t experts = param.type.shape[0].size, halves = down ? 1 : 2;
  const int64_t elements = param.type.shape.elements() / experts;
  std::vector<HfPart> out;
  for_each_place(config, param, array, experts, [&](int64_t layer, int64_t expert, int64_t offset) {
    std::string name = with(param.hf.substr(0, at), "{layer}", layer) + (down ? "down_proj" : "gate_up_proj");
    out.push_back({.name = std::move(name),
                   .sizes = {experts, halves * param.hf_sizes[0], param.hf_sizes[1]},
                   .offset = offset,
                   .elements = elements,
                   .from = (expert * halves + (up ? 1 : 0)) * elements});
  });
  return out;
}

// Notes what is wrong with one tensor of the table.
void HfWeights::check_tensor(const Param& param, const HfPart& part, WeightFindings& findings) const {
  const TensorInfo* info = folder_.find(part.name);
  if (info == nullptr) {
    findings.add_missing(part.name, peer_path(param));
    return;
  }
  const QuantizedTensor* quantized = dequantizer_.find(part.name);
  const std::vector<int64_t>& sizes = quantized != nullptr ? quantized->sizes() : info->sizes;
  if (sizes != part.sizes) {
    findings.add("misshapen", fmt::format("{}: [{}] in the folder, [{}] in the model", part.name,
                                          fmt::join(sizes, ", "), fmt::join(part.sizes, ", ")));
  } else if (quantized == nullptr && !is_float(info->dtype)) {
    findings.add("not floating-point", fmt::format("{}: {}", part.name, name(info->dtype)));
  }
}

HfWeights::HfWeights(TensorFolder folder, const WantedWeights& wanted)
    : folder_(std::move(folder)), dequantizer_(folder_) {
  const auto& [config, table, arrays, scan_axis, may_miss] = wanted;
  WeightFindings findings;
  const LeftOff left_off(config, table, folder_.names());
  check_layers(left_off, folder_, config, findings);
  findings.report(folder_.path());
  std::set<std::string> known;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const ParamArray& array = arrays[i];
    const Param& row = table[array.row];
    std::vector<HfPart> parts = hf_parts(config, row, array);
    std::vector<HfPart> stacked = stacked_parts(config, row, array);
    const bool as_stack = !stacked.empty() && folder_.find(parts[0].name) == nullptr && folder_.find(stacked[0].name);
    arrays_.push_back({array, as_stack ? std::move(stacked) : std::move(parts)});
    const std::vector<HfPart>& used = arrays_.back().parts;
    if (may_miss(row) && std::ranges::none_of(used, [&](const HfPart& p) { return folder_.find(p.name) != nullptr; })) {
      missing_.push_back(i);
      continue;
    }
    for (const HfPart& part : used) {
      if (known.insert(part.name).second) check_tensor(row, part, findings);
    }
    for (const std::string& copy : row.hf_copies) {
      if (folder_.find(copy) == nullptr) continue;
      known.insert(copy);
      copies_.emplace_back(copy, used[0].name);
    }
  }
  for (const std::string& name : folder_.names()) {
    if (!known.contains(name) && !left_off(name) && !dequantizer_.is_scale(name)) findings.add("extra", name);
  }
  findings.report(folder_.path());
  note_quantization(folder_, dequantizer_);
}

void HfWeights::warn_of_other_copies() const {
  for (const auto& [copy, original] : copies_) {
    if (same_numbers(folder_, dequantizer_, copy, original)) continue;
    log_warning("{}: {} differs from {}, which is used in its place", folder_.path(), copy, original);
  }
}

void HfWeights::fill(size_t index, std::span<const SliceMemory> slices) const {
  const auto& [array, parts] = arrays_[index];
  const std::vector<int64_t> sizes = array.type.shape.sizes();
  SliceReader reader(array.type.dtype, sizes, slices);
  // A stack of experts has thousands of parts, and a converter asks for one or less of them at a time.
  const auto [first, last] = extent(sizes, slices);
  auto part_at =
      std::ranges::partition_point(parts, [&, f = first](const HfPart& p) { return p.offset + p.elements <= f; });
  for (; part_at != parts.end() && part_at->offset < last; ++part_at) {
    const HfPart& part = *part_at;
    reader.add({.tensor = part.name,
                .file = &folder_.file_of(part.name),
                .info = folder_.find(part.name),
                .begin = part.offset,
                .end = part.offset + part.elements,
                .from = part.from,
                .quantized = dequantizer_.find(part.name)});
  }
  if (const SliceSource* bad = reader.read()) {
    throw FormatError(folder_.path(),
                      fmt::format("{} ({}) holds numbers that are not finite", array.name, bad->tensor));
  }
}

std::vector<int64_t> HfWeights::grain(size_t index) const {
  return std::vector<int64_t>(arrays_[index].array.type.shape.sizes().size(), 1);
}

int64_t prediction_modules(const TensorFolder& folder) {
  return std::ranges::count_if(folder.names(), [](const std::string& n) { return n.ends_with(".eh_proj.weight"); });
}

}  // namespace fathom
