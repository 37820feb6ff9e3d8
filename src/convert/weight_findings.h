// What does not fit between a folder of weights and a model, gathered for one message.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fathom {

// What is stored is whole, and of another model or state.
class MisfitError : public FormatError {
 public:
  using FormatError::FormatError;
};

class WeightFindings {
 public:
  // `kind`: "missing", "extra", "misshapen".
  void add(std::string_view kind, std::string what) { lists_[std::string(kind)].push_back(std::move(what)); }
  // A tensor that is missing, and the path by which init_missing_parameters would name it.
  void add_missing(std::string what, std::string path) {
    add("missing", std::move(what));
    if (missing_path_.empty()) missing_path_ = std::move(path);
  }
  // Throws MisfitError of that path when there are any.
  void report(const std::string& path) const;

 private:
  std::map<std::string, std::vector<std::string>> lists_;
  std::string missing_path_;  // of the first
};

}  // namespace fathom
