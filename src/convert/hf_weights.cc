#include "convert/hf_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "base/error.h"
#include "convert/slice_reader.h"
#include "model/left_off.h"

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

HfWeights::HfWeights(TensorFolder folder, const ModelConfig& config, const std::vector<Param>& table,
                     const std::vector<ParamArray>& arrays)
    : folder_(std::move(folder)) {
  Findings findings;
  std::set<std::string> known;
  for (const ParamArray& array : arrays) {
    arrays_.push_back({array, hf_parts(config, table[array.row], array)});
    for (const HfPart& part : arrays_.back().parts) {
      known.insert(part.name);
      check_tensor(folder_.find(part.name), part, findings);
    }
  }
  const LeftOff left_off(config, table);
  for (const std::string& name : folder_.names()) {
    if (!known.contains(name) && !left_off(name)) findings.add("extra", name);
  }
  findings.report(folder_);
}

void HfWeights::fill(size_t index, std::span<const SliceMemory> slices) const {
  const auto& [array, parts] = arrays_[index];
  SliceReader reader(array.type.dtype, array.type.shape.sizes(), slices);
  for (const HfPart& part : parts) {
    reader.add({.tensor = part.name,
                .file = &folder_.file_of(part.name),
                .info = folder_.find(part.name),
                .begin = part.offset,
                .end = part.offset + part.elements});
  }
  if (const SliceSource* bad = reader.read()) {
    throw FormatError(folder_.path(),
                      fmt::format("{} ({}) holds numbers that are not finite", array.name, bad->tensor));
  }
}

}  // namespace fathom
