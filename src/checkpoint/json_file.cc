#include "checkpoint/json_file.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"
#include "base/json_text.h"

namespace fathom {
namespace {

using Json = nlohmann::json;

// Where a name that stands twice stands for the second time.
int64_t second_place(std::string_view text, const std::string& name) {
  const std::string quoted = Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
  const size_t first = text.find(quoted);
  const size_t second = first == std::string_view::npos ? first : text.find(quoted, first + 1);
  return second == std::string_view::npos ? 0 : static_cast<int64_t>(second);
}

}  // namespace

Json parse_json(const JsonPlace& place, std::string_view text) {
  if (size_t deep = find_deep_json(text); deep != std::string_view::npos) {
    throw FormatError(place.path, place.offset + static_cast<int64_t>(deep), kDeepJson);
  }
  std::vector<std::unordered_set<std::string>> seen;  // names of the open objects
  auto check = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) seen.emplace_back();
    if (event == Json::parse_event_t::object_end) seen.pop_back();
    if (event == Json::parse_event_t::key && !seen.back().insert(value.get_ref<const std::string&>()).second) {
      const auto& name = value.get_ref<const std::string&>();
      throw FormatError(place.path, place.offset + second_place(text, name),
                        "the name '" + name + "' stands twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, check);
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
