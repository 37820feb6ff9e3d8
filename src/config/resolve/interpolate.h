// ${key} and ${oc.env:NAME,default} in values, as OmegaConf reads them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/resolve/layers.h"

namespace fathom {

// `settings` (the layers as they are merged) and `environment` must live as long as this.
class Interpolation {
 public:
  Interpolation(const Layer& settings, const Environment& environment)
      : settings_(settings), environment_(environment) {}

  // The value with everything that its ${...} stand for: another key's value (the table's default where no layer sets
  // it) or a variable. Throws ConfigError for an unknown key, a variable that is not set, a key that stands for itself,
  // a brace that is not closed, and for what would grow without bounds.
  RawValue value(const RawValue& raw);

 private:
  RawValue scalar(const RawValue& raw);
  RawValue expression(std::string_view text);
  RawValue of_variable(std::string_view arguments);
  RawValue of_key(const std::string& key);
  // As part of a longer text.
  std::string text_of(std::string_view expression);

  const Layer& settings_;
  const Environment& environment_;
  std::vector<std::string> under_way_;  // keys whose values are being looked up
  size_t expansions_ = 0;
};

}  // namespace fathom
