#include "checkpoint/orbax_metadata.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kListPlace = 1, kDictionaryKey = 2;  // what the key of a node is in the one above it
// Every revision of MaxText finds its reader by this name.
constexpr const char* kHandler = "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler";

// As Python prints a string.
std::string python_text(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (char c : text) {
    if (c == quote || c == '\\') out += '\\';
    out += c;
  }
  return out + quote;
}

// As Python prints a tuple of strings.
std::string python_tuple(const std::vector<std::string>& path) {
  std::string out = "(";
  for (size_t i = 0; i < path.size(); ++i) out += (i > 0 ? ", " : "") + python_text(path[i]);
  return out + (path.size() == 1 ? ",)" : ")");
}

using Paths = std::vector<std::vector<std::string>>;

void add_node(Json& tree, const Paths& lists, const std::vector<std::string>& path, Json value) {
  Json keys = Json::array();
  std::vector<std::string> above;
  for (const std::string& key : path) {
    const bool numbered = std::ranges::find(lists, above) != lists.end();
    keys.push_back({{"key", key}, {"key_type", numbered ? kListPlace : kDictionaryKey}});
    above.push_back(key);
  }
  tree[python_tuple(path)] = {{"key_metadata", std::move(keys)}, {"value_metadata", std::move(value)}};
}

}  // namespace

std::string tree_metadata(const std::vector<StoredArraySpec>& arrays, const OrbaxOptions& options) {
  Json tree = Json::object();
  for (const StoredArraySpec& array : arrays) {
    Json value = {{"value_type", array.scalar ? "scalar" : "jax.Array"}, {"skip_deserialize", false}};
    if (!array.scalar) value["write_shape"] = array.chunk;
    add_node(tree, options.lists, array.path, std::move(value));
  }
  auto add_empty = [&](const Paths& paths, const char* type) {
    for (const auto& path : paths) {
      add_node(tree, options.lists, path, {{"value_type", type}, {"skip_deserialize", true}});
    }
  };
  add_empty(options.empty, "Dict");
  add_empty(options.none, "None");
  return Json{{"tree_metadata", std::move(tree)},
              {"use_ocdbt", options.ocdbt},
              {"use_zarr3", options.zarr3},
              {"store_array_data_equal_to_fill_value", true},
              {"custom_metadata", nullptr}}
      .dump();
}

std::string array_metadatas(const std::vector<StoredArraySpec>& arrays) {
  Json list = Json::array();
  for (const StoredArraySpec& array : arrays) {
    if (array.scalar) continue;
    list.push_back({{"array_metadata",
                     {{"param_name", fmt::format("{}", fmt::join(array.path, "."))},
                      {"write_shape", array.chunk},
                      {"chunk_shape", array.inner},
                      {"ext_metadata", nullptr}}}});
  }
  return Json{{"array_metadatas", std::move(list)}}.dump();
}

std::string checkpoint_metadata(std::optional<bool> scan_layers, int64_t begun, int64_t committed) {
  Json custom = Json::object();
  if (scan_layers) custom["scan_layers"] = *scan_layers;
  return Json{{"item_handlers", {{"items", kHandler}}}, {"metrics", Json::object()},
              {"performance_metrics", Json::object()},  {"init_timestamp_nsecs", begun},
              {"commit_timestamp_nsecs", committed},    {"custom_metadata", std::move(custom)}}
      .dump();
}

}  // namespace fathom
