#include "data/tfds.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"
#include "base/listed.h"

namespace fathom {

namespace {

using nlohmann::json;

constexpr std::string_view kInfo = "dataset_info.json";
constexpr std::string_view kFeatures = "features.json";
constexpr size_t kListed = 16;                      // names that a message lists
constexpr int64_t kMostRecords = int64_t{1} << 40;  // of a shard: sums of them stay numbers

using Version = std::array<int64_t, 3>;

// "3.1.0"; nothing for another name.
std::optional<Version> version_of(std::string_view name) {
  Version version;
  for (size_t i = 0; i < version.size(); ++i) {
    const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), version[i]);
    if (fault != std::errc() || version[i] < 0) return std::nullopt;
    name.remove_prefix(static_cast<size_t>(end - name.data()));
    const bool last = i + 1 == version.size();
    if (last ? !name.empty() : !name.starts_with('.')) return std::nullopt;
    if (!last) name.remove_prefix(1);
  }
  return version;
}

std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    if (entry.is_folder && !entry.name.starts_with('.')) names.push_back(entry.name);
  }
  return names;
}

// The versions among the folders of a folder, oldest first.
std::map<Version, std::string> versions_in(const std::string& folder) {
  std::map<Version, std::string> versions;
  if (file_store(folder).kind(folder) != PathKind::kFolder) return versions;
  for (const std::string& name : folders_in(folder)) {
    if (std::optional<Version> version = version_of(name)) versions.emplace(*version, name);
  }
  return versions;
}

bool is_version_folder(const std::string& folder) {
  const FileStore& store = file_store(folder);
  return store.kind(join_path(folder, kInfo)) == PathKind::kFile &&
         store.kind(join_path(folder, kFeatures)) == PathKind::kFile;
}

struct Name {
  std::string folders;  // "c4/en"
  std::string version;  // or a pattern; may be empty
};

Name parse_name(const std::string& name) {
  const size_t colon = name.find(':');
  if (colon == std::string::npos) return {name, ""};
  return {name.substr(0, colon), name.substr(colon + 1)};
}

std::string choose_version(const TfdsQuery& query, const Name& name, const std::string& folder,
                           const std::map<Version, std::string>& versions) {
  std::vector<std::string> there;
  std::string chosen;
  for (const auto& [unused, version] : versions) {
    there.push_back(version);
    if (name.version.empty() || fnmatch(name.version.c_str(), version.c_str(), 0) == 0) chosen = version;
  }
  if (chosen.empty()) {
    throw ConfigError(fmt::format("{}={}: {} has no version {}; there {} {} ({}={}:{})", query.name_key, query.name,
                                  folder, name.version, there.size() == 1 ? "is" : "are", listed(there, kListed),
                                  query.name_key, name.folders, there.back()));
  }
  return join_path(folder, chosen);
}

[[noreturn]] void fail_absent(const TfdsQuery& query, const Name& name) {
  const std::string wanted = join_path(query.path, name.folders);
  const bool inside = file_store(wanted).kind(wanted) == PathKind::kFolder;
  const std::string& shown = inside ? wanted : query.path;
  const std::vector<std::string> there = folders_in(shown);
  throw ConfigError(fmt::format("{}={}, {}={}: {} holds {}; {}: {}", query.path_key, query.path, query.name_key,
                                query.name, shown,
                                inside ? "no version of a data set" : fmt::format("no data set '{}'", name.folders),
                                there.empty() ? "it has no folders" : "its folders are",
                                there.empty() ? "the path names what tfds calls data_dir" : listed(there, kListed)));
}

// --- dataset_info.json

json read_info(const std::string& path) {
  const std::string text = file_store(path).read(path);
  require_plain_json(path, text);
  try {
    return json::parse(text);
  } catch (const json::exception& e) {
    throw_json_mistake(path, e);
  }
}

// A count, which protocol buffers write into JSON as text.
int64_t count_of(const json& value, const std::string& path, const std::string& split) {
  int64_t count = -1;
  if (value.is_number_integer()) count = value.get<int64_t>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (fault != std::errc() || end != text.data() + text.size()) count = -1;
  }
  if (count < 0 || count > kMostRecords) {
    throw FormatError(path, fmt::format("split '{}': shardLengths holds {}, no number of records", split,
                                        value.dump(-1, ' ', false, json::error_handler_t::replace)));
  }
  return count;
}

std::string text_of(const json& object, const char* field, const std::string& otherwise) {
  auto value = object.find(field);
  return value != object.end() && value->is_string() ? value->get<std::string>() : otherwise;
}

// The split of that name.
const json& split_of(const json& info, const std::string& path, const std::string& split, std::string_view key) {
  const json* splits = info.is_object() && info.contains("splits") ? &info["splits"] : nullptr;
  if (splits == nullptr || !splits->is_array()) throw FormatError(path, "names no splits");
  std::vector<std::string> names;
  for (const json& one : *splits) {
    if (!one.is_object()) throw FormatError(path, "a split is no object");
    names.push_back(text_of(one, "name", "?"));
    if (names.back() == split) return one;
  }
  throw ConfigError(fmt::format("{}={}: {} has no such split; {}", key, split, path,
                                names.empty() ? "it has none" : "it has " + listed(names, kListed)));
}

void replace_all(std::string& text, std::string_view from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

// What the template of a split's file names makes of the data set, the split and shard i of n.
std::string file_name(const json& info, const json& split, size_t i, size_t n) {
  std::string name = text_of(split, "filepathTemplate", "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}");
  const std::string index = fmt::format("{:05}", i);
  const std::string total = fmt::format("{:05}", n);
  replace_all(name, "{DATASET}", text_of(info, "name", ""));
  replace_all(name, "{SPLIT}", text_of(split, "name", ""));
  replace_all(name, "{FILEFORMAT}", "tfrecord");
  replace_all(name, "{SHARD_X_OF_Y}", index + "-of-" + total);
  replace_all(name, "{SHARD_INDEX}", index);
  replace_all(name, "{NUM_SHARDS}", total);
  return name;
}

std::map<std::string, int64_t> sizes_in(const std::string& folder) {
  std::map<std::string, int64_t> sizes;
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    if (!entry.is_folder) sizes.emplace(entry.name, entry.size);
  }
  return sizes;
}

}  // namespace

std::optional<std::string> find_tfds(const TfdsQuery& query) {
  if (query.path.empty() || file_store(query.path).kind(query.path) != PathKind::kFolder) {
    if (!query.required) return std::nullopt;
    throw ConfigError(fmt::format("{}={}: no such folder", query.path_key, query.path));
  }
  if (is_version_folder(query.path)) return query.path;
  const Name name = parse_name(query.name);
  // Each time without the first part, which may be in the path.
  std::string below = name.folders;
  while (true) {
    const std::string folder = below.empty() ? query.path : join_path(query.path, below);
    const std::map<Version, std::string> versions = versions_in(folder);
    // Folders of any data may have such names.
    const bool found =
        !versions.empty() && (query.required || is_version_folder(join_path(folder, versions.rbegin()->second)));
    if (found) return choose_version(query, name, folder, versions);
    if (below.empty()) break;
    const size_t slash = below.find('/');
    below = slash == std::string::npos ? "" : below.substr(slash + 1);
  }
  if (query.required) fail_absent(query, name);
  return std::nullopt;
}

std::vector<RecordShard> tfds_shards(const std::string& folder, const std::string& split, std::string_view split_key) {
  constexpr size_t kMostShards = size_t{1} << 20;
  const std::string path = join_path(folder, kInfo);
  const json info = read_info(path);
  const json& about = split_of(info, path, split, split_key);
  const std::string format = text_of(info, "fileFormat", "tfrecord");
  if (format != "tfrecord") {
    throw ConfigError(fmt::format("{}: the data set is stored as {}; tfrecord is what is read", path, format));
  }
  const auto lengths = about.find("shardLengths");
  if (lengths == about.end() || !lengths->is_array() || lengths->empty() || lengths->size() > kMostShards) {
    throw FormatError(path, fmt::format("split '{}' has no shardLengths (records of each file)", split));
  }
  const std::map<std::string, int64_t> sizes = sizes_in(folder);
  std::vector<RecordShard> shards;
  std::vector<std::string> missing;
  for (size_t i = 0; i < lengths->size(); ++i) {
    const std::string name = file_name(info, about, i, lengths->size());
    const auto file = sizes.find(name);
    if (file == sizes.end()) {
      missing.push_back(name);
      continue;
    }
    shards.push_back({join_path(folder, name), count_of((*lengths)[i], path, split), file->second});
    if (shards.back().records == 0 && file->second != 0) {
      throw FormatError(shards.back().path, fmt::format("{} bytes, and {} says that it is empty", file->second, kInfo));
    }
  }
  if (!missing.empty()) {
    throw FormatError(path, fmt::format("split '{}' has {} files, of which {} {} not there: {}", split, lengths->size(),
                                        missing.size(), missing.size() == 1 ? "is" : "are", listed(missing, 4)));
  }
  return shards;
}

}  // namespace fathom
