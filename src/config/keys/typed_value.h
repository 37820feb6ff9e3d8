// From a YAML node to the value of one key, by the key's type.
#pragma once

#include <string>

#include "config/keys/keys.h"

namespace fathom {

// The raw value as the key's type. Throws ConfigError with what the key needs, the key's name not included.
KeyValue typed_value(const KeyRow& row, const RawValue& raw);
// What is wrong with a number outside of the key's range: "must be at least 1"; empty for any other value.
std::string out_of_range(const KeyRow& row, const KeyValue& value);
KeyValue default_value(const KeyRow& row);
// "int", "one of: a, b".
std::string type_text(const KeyRow& row);

}  // namespace fathom
