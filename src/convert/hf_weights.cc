#include "convert/hf_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "convert/slice_reader.h"
#include "model/left_off.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

// Lists longer than this are cut in messages.
constexpr size_t kListed = 12;

std::string with(std::string pattern, std::string_view placeholder, int64_t number) {
  size_t at = pattern.find(placeholder);
  if (at != std::string::npos) pattern.replace(at, placeholder.size(), std::to_string(number));
  return pattern;
}

class Findings {
 public:
  void add(std::string_view kind, std::string what) { lists_[std::string(kind)].push_back(std::move(what)); }
  void report(const TensorFolder& folder) const {
    if (lists_.empty()) return;
    std::string text = "the weights do not fit the model";
    for (const auto& [kind, list] : lists_) {
      text += fmt::format("\n  {} ({}):", kind, list.size());
      for (size_t i = 0; i < std::min(list.size(), kListed); ++i) text += "\n    " + list[i];
      if (list.size() > kListed) text += fmt::format("\n    ... and {} more", list.size() - kListed);
    }
    text += "\n  check model_name (auto reads the folder's own config.json) and the dimensions";
    throw FormatError(folder.path(), text);
  }

 private:
  std::map<std::string, std::vector<std::string>> lists_;
};

// Notes what is wrong with one tensor of the table.
void check_tensor(const TensorInfo* info, const HfPart& part, Findings& findings) {
  if (info == nullptr) {
    findings.add("missing", part.name);
  } else if (info->sizes != part.sizes) {
    findings.add("misshapen", fmt::format("{}: [{}] in the folder, [{}] in the model", part.name,
                                          fmt::join(info->sizes, ", "), fmt::join(part.sizes, ", ")));
  } else if (info->dtype == DType::kF8E4M3FN) {
    findings.add("still in float8 (run deepseek_fp8_to_bf16 first)", part.name);
  } else if (!is_float(info->dtype)) {
    findings.add("not floating-point", fmt::format("{}: {}", part.name, name(info->dtype)));
  }
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
void check_layers(const LeftOff& left_off, const TensorFolder& folder, const ModelConfig& config, Findings& findings) {
  std::set<int64_t> there;
  for (const std::string& name : folder.names()) {
    std::optional<int64_t> layer = left_off.layer_of(name);
    if (layer && !left_off(name)) there.insert(*layer);
  }
  const std::string counted = fmt::format("num_hidden_layers (base_num_decoder_layers) is {}", config.layers);
  for (int64_t layer : there) {
    if (layer >= config.layers) findings.add(counted + ", but there are also", fmt::format("model.layers.{}", layer));
  }
  for (int64_t layer = 0; layer < config.layers && !there.empty(); ++layer) {
    if (!there.contains(layer)) findings.add(counted + ", but there are not", fmt::format("model.layers.{}", layer));
  }
}

// A folder whose tensors were dequantised and whose config.json was not told.
void note_quantization(const TensorFolder& folder) {
  const std::string path = join_path(folder.path(), "config.json");
  const FileStore& store = file_store(path);
  if (store.kind(path) != PathKind::kFile) return;
  const auto config = nlohmann::json::parse(store.read(path).bytes, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || !config.contains("quantization_config") || config["quantization_config"].is_null()) return;
  const bool quantised = std::ranges::any_of(
      folder.names(), [&](const std::string& name) { return folder.find(name)->dtype == DType::kF8E4M3FN; });
  if (!quantised) {
    log_warning("{}: quantization_config: no tensor of the folder is in float8; they are read as they are", path);
  }
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

HfWeights::HfWeights(TensorFolder folder, const ModelConfig& config, const std::vector<Param>& table,
                     const std::vector<ParamArray>& arrays)
    : folder_(std::move(folder)) {
  Findings findings;
  const LeftOff left_off(config, table, folder_.names());
  check_layers(left_off, folder_, config, findings);
  findings.report(folder_);
  std::set<std::string> known;
  for (const ParamArray& array : arrays) {
    std::vector<HfPart> parts = hf_parts(config, table[array.row], array);
    std::vector<HfPart> stacked = stacked_parts(config, table[array.row], array);
    const bool as_stack = !stacked.empty() && folder_.find(parts[0].name) == nullptr && folder_.find(stacked[0].name);
    arrays_.push_back({array, as_stack ? std::move(stacked) : std::move(parts)});
    for (const HfPart& part : arrays_.back().parts) {
      if (known.insert(part.name).second) check_tensor(folder_.find(part.name), part, findings);
    }
  }
  for (const std::string& name : folder_.names()) {
    if (!known.contains(name) && !left_off(name)) findings.add("extra", name);
  }
  findings.report(folder_);
  note_quantization(folder_);
}

void HfWeights::fill(size_t index, std::span<const SliceMemory> slices) const {
  const auto& [array, parts] = arrays_[index];
  SliceReader reader(array.type.dtype, array.type.shape.sizes(), slices);
  for (const HfPart& part : parts) {
    reader.add({.tensor = part.name,
                .file = &folder_.file_of(part.name),
                .info = folder_.find(part.name),
                .begin = part.offset,
                .end = part.offset + part.elements,
                .from = part.from});
  }
  if (const SliceSource* bad = reader.read()) {
    throw FormatError(folder_.path(),
                      fmt::format("{} ({}) holds numbers that are not finite", array.name, bad->tensor));
  }
}

}  // namespace fathom
