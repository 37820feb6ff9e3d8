// JSON of checkpoints: others wrote it, and it may be hostile.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// What stands before a message about a JSON text: its file and, where the text begins in it.
struct JsonPlace {
  std::string path;
  int64_t offset = 0;
};

// The JSON of a text. Throws FormatError with the offset of the fault when it is not JSON, is nested too deep, or holds
// a name twice in one object.
nlohmann::json parse_json(const JsonPlace& place, std::string_view text);

// The value of a key of an object; null when the value is no object, or has no such key or null there.
const nlohmann::json* json_member(const nlohmann::json& object, const char* key);
// Whole numbers from 0 to 2^63 - 1; throws FormatError naming `what` when it is not a list of them.
std::vector<int64_t> json_sizes(const JsonPlace& place, const nlohmann::json* list, std::string_view what);

}  // namespace fathom
