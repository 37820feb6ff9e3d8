// From a YAML node to the value of one key, by the key's type.
#pragma once

#include <string>

#include "config/keys/keys.h"

namespace fathom {

// The raw value as the key's type. Throws ConfigError with what the key needs, the key's name not included.
KeyValue typed_value(const KeyRow& row, const RawValue& raw);
KeyValue default_value(const KeyRow& row);
// "int", "one of: a, b".
std::string type_text(const KeyRow& row);

}  // namespace fathom
