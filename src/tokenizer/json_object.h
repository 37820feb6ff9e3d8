// Fields of JSON objects, with errors that name the file and the key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace fathom {

// An object of a JSON file and its place there, such as "model" or "added_tokens[3]"; the empty place is the whole
// file. It refers to its path and value, which outlive it.
class JsonObject {
 public:
  // Throws FormatError when the value is no object.
  JsonObject(const std::string& path, std::string place, const nlohmann::json& value);

  // Throws FormatError about a key of the object, or about the object itself when the key is empty.
  [[noreturn]] void fail(const std::string& key, const std::string& message) const;
  // The value of a key; null when it is absent or null.
  const nlohmann::json* find(const std::string& key) const;
  // Values that must be there and of their type.
  JsonObject object(const std::string& key) const;
  std::string string(const std::string& key) const;
  int64_t integer(const std::string& key) const;
  // Length of the array under a key, 0 when it is absent; and an element of it, which must be an object.
  size_t array_size(const std::string& key) const;
  JsonObject element(const std::string& key, size_t index) const;
  // The default when the key is absent or null.
  bool boolean(const std::string& key, bool default_value) const;

 private:
  const nlohmann::json& required(const std::string& key) const;

  const std::string& path_;
  std::string place_;
  const nlohmann::json& value_;
};

// A whole file, local or remote. Throws FormatError when it has more than `most` bytes.
std::string read_whole(const std::string& path, int64_t most);
// The JSON of a whole file of at most 64 MiB; `keys` takes the names of its object in their order. Throws FormatError
// with the offset of a syntax error.
nlohmann::json read_json(const std::string& path, std::vector<std::string>& keys);

}  // namespace fathom
