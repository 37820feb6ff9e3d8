#include "convert/weight_findings.h"

#include <fmt/format.h>

#include <algorithm>

namespace fathom {

namespace {

// Names of a kind that a message lists. All that is missing, for init_missing_parameters is written from it; a folder
// of another model lacks tens of thousands.
size_t listed_of(std::string_view kind) { return kind == "missing" ? 1000 : 12; }

}  // namespace

void WeightFindings::report(const std::string& path) const {
  if (lists_.empty()) return;
  std::string text = "the weights do not fit the model";
  for (const auto& [kind, list] : lists_) {
    const size_t listed = std::min(list.size(), listed_of(kind));
    text += fmt::format("\n  {} ({}):", kind, list.size());
    for (size_t i = 0; i < listed; ++i) text += "\n    " + list[i];
    if (list.size() > listed) text += fmt::format("\n    ... and {} more", list.size() - listed);
  }
  if (lists_.contains("missing")) {
    text += "\n  init_missing_parameters=['REGEX'] names what may be missing and starts as in a fresh run";
    if (!missing_path_.empty()) text += fmt::format(", by paths such as {}", missing_path_);
  }
  text += "\n  check model_name (auto reads the folder's own config.json) and the dimensions";
  throw MisfitError(path, text);
}

}  // namespace fathom
