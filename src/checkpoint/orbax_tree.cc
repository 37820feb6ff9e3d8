#include "checkpoint/orbax_tree.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/json_file.h"

namespace fathom {
namespace {

using Json = nlohmann::json;

bool flag(const std::string& path, const Json& root, const char* key, bool otherwise) {
  const Json* value = json_member(root, key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) throw FormatError(path, fmt::format("{} is not true or false", key));
  return value->get<bool>();
}

// `name` is the path as Python prints a tuple.
OrbaxLeaf leaf(const std::string& path, const std::string& name, const Json& entry) {
  OrbaxLeaf out;
  const Json* keys = json_member(entry, "key_metadata");
  if (keys == nullptr || !keys->is_array() || keys->empty()) {
    throw FormatError(path, fmt::format("the entry {} has no list key_metadata", name));
  }
  for (const Json& key : *keys) {
    const Json* text = json_member(key, "key");
    if (text == nullptr || !text->is_string()) {
      throw FormatError(path, fmt::format("the entry {} has a key that is no text", name));
    }
    out.path.push_back(text->get<std::string>());
  }
  const Json* value = json_member(entry, "value_metadata");
  if (value == nullptr || !value->is_object()) {
    throw FormatError(path, fmt::format("the entry {} has no value_metadata", name));
  }
  out.is_empty = flag(path, *value, "skip_deserialize", false);
  return out;
}

}  // namespace

OrbaxTree parse_orbax_tree(const std::string& path, std::string_view text) {
  const Json root = parse_json({path}, text);
  const Json* tree = json_member(root, "tree_metadata");
  if (tree == nullptr || !tree->is_object()) {
    throw FormatError(path, "it has no tree_metadata: not the metadata of an Orbax checkpoint");
  }
  OrbaxTree out;
  for (const auto& [name, entry] : tree->items()) {
    OrbaxLeaf found = leaf(path, name, entry);
    const Json* type = json_member(entry["value_metadata"], "value_type");
    if (type != nullptr && *type == "string") continue;  // a text: in a file of its own, not an array
    out.leaves.push_back(std::move(found));
  }
  if (json_member(root, "use_ocdbt") != nullptr) out.use_ocdbt = flag(path, root, "use_ocdbt", true);
  out.use_zarr3 = flag(path, root, "use_zarr3", false);
  out.stores_every_chunk = flag(path, root, "store_array_data_equal_to_fill_value", false);
  return out;
}

std::optional<bool> parse_scan_layers(const std::string& path, std::string_view text) {
  const Json root = parse_json({path}, text);
  const Json* custom = json_member(root, "custom_metadata");
  const Json* scan = custom == nullptr ? nullptr : json_member(*custom, "scan_layers");
  if (scan == nullptr) return std::nullopt;
  return flag(path, *custom, "scan_layers", false);
}

}  // namespace fathom
