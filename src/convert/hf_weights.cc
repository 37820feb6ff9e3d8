#include "convert/hf_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <set>

#include "base/error.h"

namespace fathom {
namespace {

// Lists longer than this are cut in messages.
constexpr size_t kListed = 12;

std::string with(std::string pattern, std::string_view placeholder, int64_t number) {
  size_t at = pattern.find(placeholder);
  if (at != std::string::npos) pattern.replace(at, placeholder.size(), std::to_string(number));
  return pattern;
}

// What a folder may hold beyond the table: extra layers (MTP modules), indexers, frequencies that can be computed.
bool left_off(const ModelConfig& config, const std::string& name) {
  if (name.ends_with("rotary_emb.inv_freq")) return true;
  if (!config.indexer && name.find(".self_attn.indexer.") != std::string::npos) return true;
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) return false;
  size_t end = name.find('.', kLayers.size());
  if (end == std::string::npos) return false;
  std::string digits = name.substr(kLayers.size(), end - kLayers.size());
  bool number = !digits.empty() && digits.size() < 10 && digits.find_first_not_of("0123456789") == std::string::npos;
  return number && std::stoll(digits) >= config.layers;
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

void check(const TensorFolder& folder, const ModelConfig& config, const std::vector<Param>& table,
           const std::vector<ParamArray>& arrays) {
  Findings findings;
  std::set<std::string> known;
  for (const ParamArray& array : arrays) {
    for (const HfPart& part : hf_parts(config, table[array.row], array)) {
      known.insert(part.name);
      const TensorInfo* info = folder.find(part.name);
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
  }
  for (const std::string& name : folder.names()) {
    if (!known.contains(name) && !left_off(config, name)) findings.add("extra", name);
  }
  findings.report(folder);
}

}  // namespace

std::vector<HfPart> hf_parts(const ModelConfig& config, const Param& param, const ParamArray& array) {
  bool experts = param.hf.find("{expert}") != std::string::npos;
  int64_t pieces = experts ? param.type.shape[0].size : 1;
  int64_t elements = param.type.shape.elements() / pieces;
  const Stack stack = param.stack ? stacks(config)[*param.stack] : Stack{.count = 1};
  bool one_layer = !param.stack || array.layer >= 0;
  int64_t first = one_layer ? std::max<int64_t>(array.layer, 0) : 0;
  int64_t count = one_layer ? 1 : stack.count;
  std::vector<HfPart> out;
  for (int64_t l = 0; l < count; ++l) {
    std::string of_layer = with(param.hf, "{layer}", stack.first + first + l);
    for (int64_t e = 0; e < pieces; ++e) {
      out.push_back({with(of_layer, "{expert}", e), param.hf_sizes, (l * pieces + e) * elements, elements});
    }
  }
  return out;
}

void load_hf_weights(const TensorFolder& folder, const ModelConfig& config, const std::vector<Param>& table,
                     const std::vector<ParamArray>& arrays, const std::function<void(size_t, HostArray)>& sink) {
  check(folder, config, table, arrays);
  for (size_t i = 0; i < arrays.size(); ++i) {
    const TensorType& type = arrays[i].type;
    std::vector<HfPart> parts = hf_parts(config, table[arrays[i].row], arrays[i]);
    HostArray whole = HostArray::allocate(type.dtype, type.shape.sizes());
    for (const HfPart& part : parts) {
      HostArray piece = convert(folder.tensor(part.name), type.dtype);
      int64_t bytes = byte_size(type.dtype);
      std::memcpy(whole.mutable_data() + part.offset * bytes, piece.data(), static_cast<size_t>(part.elements * bytes));
    }
    sink(i, std::move(whole));
  }
}

}  // namespace fathom
