// Mistakes gathered while a configuration is resolved, so that all of them are reported together.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

namespace fathom {

class Problems {
 public:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    lines_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  bool empty() const { return lines_.empty(); }
  // Throws ConfigError with one line for each mistake; does nothing when there is none.
  void throw_if_any() const;

 private:
  std::vector<std::string> lines_;
};

}  // namespace fathom
