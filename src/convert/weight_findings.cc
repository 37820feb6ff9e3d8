#include "convert/weight_findings.h"

#include <fmt/format.h>

#include <algorithm>

namespace fathom {

void WeightFindings::report(const std::string& path) const {
  constexpr size_t kListed = 12;
  if (lists_.empty()) return;
  std::string text = "the weights do not fit the model";
  for (const auto& [kind, list] : lists_) {
    text += fmt::format("\n  {} ({}):", kind, list.size());
    for (size_t i = 0; i < std::min(list.size(), kListed); ++i) text += "\n    " + list[i];
    if (list.size() > kListed) text += fmt::format("\n    ... and {} more", list.size() - kListed);
  }
  text += "\n  check model_name (auto reads the folder's own config.json) and the dimensions";
  throw MisfitError(path, text);
}

}  // namespace fathom
