// What takes bytes one after the other.
#pragma once

#include <string_view>

namespace fathom {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void append(std::string_view bytes) = 0;
};

}  // namespace fathom
