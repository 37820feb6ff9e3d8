// Named options and attributes, as PJRT passes them in both directions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace fathom {

using NamedValue = std::variant<std::string, int64_t, std::vector<int64_t>, float, bool>;
using NamedValues = std::map<std::string, NamedValue>;

// "1.20.0" for a list of version numbers, otherwise the value as text.
std::string to_string(const NamedValue& value);

}  // namespace fathom
