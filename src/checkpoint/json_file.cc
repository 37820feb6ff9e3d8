#include "checkpoint/json_file.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"

namespace fathom {
namespace {

using Json = nlohmann::json;

}  // namespace

Json parse_json(const JsonPlace& place, std::string_view text) {
  require_plain_json(place.path, text, place.offset);
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    throw_json_mistake(place.path, e, place.offset);
  }
}

const Json* json_member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::vector<int64_t> json_sizes(const JsonPlace& place, const Json* list, std::string_view what) {
  if (list == nullptr || !list->is_array()) {
    throw FormatError(place.path, place.offset, std::string(what) + " is not a list of sizes");
  }
  constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  std::vector<int64_t> out;
  for (const Json& n : *list) {
    if (!n.is_number_unsigned() || n.get<uint64_t>() > kMax) {
      throw FormatError(place.path, place.offset, fmt::format("{} holds {}, which is not a size", what, n.dump()));
    }
    out.push_back(n.get<int64_t>());
  }
  return out;
}

}  // namespace fathom
