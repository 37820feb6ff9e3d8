#include "model/left_off.h"

#include <algorithm>

namespace fathom {
namespace {

constexpr std::string_view kLayer = "{layer}";
constexpr std::string_view kComputed = "rotary_emb.inv_freq";
// What a layer for multi-token prediction has and no other: it joins the embedding with the hidden state.
constexpr std::string_view kPrediction = ".eh_proj.weight";

// Takes the number at the beginning of `text` away.
std::optional<int64_t> take_number(std::string_view& text) {
  size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  if (end == 0 || end > 9) return std::nullopt;
  int64_t number = std::stoll(std::string(text.substr(0, end)));
  text.remove_prefix(end);
  return number;
}

// Whether the name is the pattern with a number in each place of a "{word}".
bool matches(std::string_view pattern, std::string_view name) {
  for (size_t open = pattern.find('{'); open != std::string_view::npos; open = pattern.find('{')) {
    if (!name.starts_with(pattern.substr(0, open))) return false;
    name.remove_prefix(open);
    pattern.remove_prefix(pattern.find('}') + 1);
    if (!take_number(name)) return false;
  }
  return name == pattern;
}

}  // namespace

LeftOff::LeftOff(const ModelConfig& config, const std::vector<Param>& table, const std::vector<std::string>& tensors)
    : layers_(config.layers + config.prediction_layers) {
  ModelConfig everything = config;
  everything.indexer = true;
  for (const Param& row : param_table(everything)) {
    bool own = std::any_of(table.begin(), table.end(), [&](const Param& p) { return p.hf == row.hf; });
    if (!own) patterns_.push_back(row.hf);
    size_t layer = row.hf.find(kLayer);
    if (layer != std::string::npos) layer_prefix_ = row.hf.substr(0, layer);
  }
  for (const std::string& tensor : tensors) {
    std::optional<int64_t> layer = layer_of(tensor);
    if (layer && *layer >= layers_ && tensor.ends_with(kPrediction)) prediction_layers_.insert(*layer);
  }
}

std::optional<int64_t> LeftOff::layer_of(std::string_view tensor) const {
  if (layer_prefix_.empty() || !tensor.starts_with(layer_prefix_)) return std::nullopt;
  tensor.remove_prefix(layer_prefix_.size());
  std::optional<int64_t> layer = take_number(tensor);
  return tensor.starts_with('.') ? layer : std::nullopt;
}

bool LeftOff::operator()(std::string_view tensor) const {
  if (tensor.ends_with(kComputed)) return true;
  if (std::any_of(patterns_.begin(), patterns_.end(), [&](const auto& p) { return matches(p, tensor); })) return true;
  std::optional<int64_t> layer = layer_of(tensor);
  return layer && prediction_layers_.contains(*layer);
}

}  // namespace fathom
