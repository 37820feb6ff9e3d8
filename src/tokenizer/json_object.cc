#include "tokenizer/json_object.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"
#include "storage/file_store.h"

namespace fathom {

using nlohmann::json;

JsonObject::JsonObject(const std::string& path, std::string place, const json& value)
    : path_(path), place_(std::move(place)), value_(value) {
  if (!value_.is_object()) fail("", fmt::format("must be an object, is {}", value_.type_name()));
}

void JsonObject::fail(const std::string& key, const std::string& message) const {
  const std::string name = place_.empty() || key.empty() ? place_ + key : place_ + "." + key;
  throw FormatError(path_, name.empty() ? message : name + " " + message);
}

const json* JsonObject::find(const std::string& key) const {
  auto it = value_.find(key);
  return it == value_.end() || it->is_null() ? nullptr : &*it;
}

const json& JsonObject::required(const std::string& key) const {
  const json* value = find(key);
  if (value == nullptr) fail(key, "is missing");
  return *value;
}

JsonObject JsonObject::object(const std::string& key) const {
  return JsonObject(path_, place_.empty() ? key : place_ + "." + key, required(key));
}

std::string JsonObject::string(const std::string& key) const {
  const json& value = required(key);
  if (!value.is_string()) fail(key, fmt::format("must be a string, is {}", value.type_name()));
  return value.get<std::string>();
}

int64_t JsonObject::integer(const std::string& key) const {
  const json& value = required(key);
  if (!value.is_number_integer()) fail(key, fmt::format("must be an integer, is {}", value.dump()));
  return value.get<int64_t>();
}

size_t JsonObject::array_size(const std::string& key) const {
  const json* value = find(key);
  if (value == nullptr) return 0;
  if (!value->is_array()) fail(key, fmt::format("must be an array, is {}", value->type_name()));
  return value->size();
}

JsonObject JsonObject::element(const std::string& key, size_t index) const {
  const std::string name = fmt::format("{}[{}]", key, index);
  return JsonObject(path_, place_.empty() ? name : place_ + "." + name, required(key)[index]);
}

bool JsonObject::boolean(const std::string& key, bool default_value) const {
  const json* value = find(key);
  if (value == nullptr) return default_value;
  if (!value->is_boolean()) fail(key, fmt::format("must be true or false, is {}", value->dump()));
  return value->get<bool>();
}

std::string read_whole(const std::string& path, int64_t most) {
  const FileStore& store = file_store(path);
  const int64_t size = store.size(path);
  if (size > most) throw FormatError(path, fmt::format("{} bytes long; {} are the most", size, most));
  return store.read(path);
}

json read_json(const std::string& path, std::vector<std::string>& keys) {
  constexpr int64_t kMaxBytes = int64_t{64} << 20;
  const std::string text = read_whole(path, kMaxBytes);
  if (const size_t deep = find_deep_json(text); deep != std::string::npos) {
    throw FormatError(path, static_cast<int64_t>(deep), kDeepJson);
  }
  try {
    return json::parse(text, [&](int depth, json::parse_event_t event, const json& value) {
      if (depth == 1 && event == json::parse_event_t::key) keys.push_back(value.get<std::string>());
      return true;
    });
  } catch (const json::exception& error) {
    throw_json_mistake(path, error);
  }
}

}  // namespace fathom
