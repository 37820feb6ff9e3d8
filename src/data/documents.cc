#include "data/documents.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "base/utf8.h"
#include "data/packed_files.h"
#include "data/tfds.h"
#include "storage/file_store.h"

namespace fathom {

namespace {

constexpr std::string_view kEndings = ".txt, .jsonl or .parquet";
constexpr std::string_view kUnread =
    "of packed files those are read that end in .txt, .jsonl or .json and then in .gz or .zst: unpack it first";
constexpr size_t kListed = 8;  // names that a message lists

std::optional<DatasetKind> kind_of_name(std::string_view name) {
  if (name.ends_with(".parquet")) return DatasetKind::kParquet;
  const std::string_view unpacked = unpacked_name(name);
  if (unpacked.ends_with(".txt")) return DatasetKind::kText;
  if (unpacked.ends_with(".jsonl")) return DatasetKind::kJsonl;
  return std::nullopt;
}

// Packed in a form that is not read.
bool is_unread_packing(std::string_view name) {
  constexpr std::string_view kCompressed[] = {".bz2", ".xz", ".lz4", ".zip", ".7z", ".tgz", ".tar.gz", ".tar.zst"};
  return std::any_of(std::begin(kCompressed), std::end(kCompressed),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

bool is_pattern(std::string_view name) { return name.find_first_of("*?[") != std::string_view::npos; }

// The kind of a file that is named alone or, in the rest of its ending, by a pattern.
std::optional<DatasetKind> kind_of_named(std::string_view name, const DatasetQuery& query) {
  if (is_unread_packing(name)) return std::nullopt;
  if (query.loader == DatasetKind::kParquet && packing_of(name) != Packing::kNone) return std::nullopt;
  if (query.loader) return query.loader;
  return unpacked_name(name).ends_with(".json") ? DatasetKind::kJsonl : kind_of_name(name);
}

// The kind of a file of a folder that is named whole.
std::optional<DatasetKind> kind_of_entry(std::string_view name, const DatasetQuery& query) {
  std::optional<DatasetKind> kind = kind_of_name(name);
  if (query.loader == DatasetKind::kJsonl && unpacked_name(name).ends_with(".json")) kind = query.loader;
  return kind && query.loader ? query.loader : kind;
}

void need_regular(const std::string& path, std::string_view key) {
  std::error_code fault;
  if (is_remote(path) || std::filesystem::is_regular_file(path, fault)) return;
  throw ConfigError(fmt::format("{}={}: is no regular file but a pipe, a device or a broken link", key, path));
}

// The path of a split of a folder: a folder or a pattern; nothing if the folder does not have it.
std::optional<std::string> split_path(const std::string& folder, const std::string& split) {
  if (split.empty() || file_store(folder).kind(folder) != PathKind::kFolder) return std::nullopt;
  std::optional<std::string> data_folder;
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    if (entry.is_folder && entry.name == split) return join_path(folder, split);
    if (entry.is_folder && entry.name == "data") data_folder = join_path(folder, entry.name);
    std::string_view rest = std::string_view(entry.name).substr(std::min(split.size(), entry.name.size()));
    bool of_split = entry.name.starts_with(split) && !rest.empty() &&
                    std::string_view("-_.").find(rest[0]) != std::string_view::npos;
    if (!entry.is_folder && of_split && kind_of_name(entry.name)) return join_path(folder, split + "[-_.]*");
  }
  return data_folder ? split_path(*data_folder, split) : std::nullopt;
}

// The name in front of the Hub's "-00000-of-00002." of a shard, or nothing.
std::string_view shard_stem(std::string_view name) {
  constexpr std::string_view kOf = "-of-";
  constexpr size_t kDigits = 5;
  const size_t of = name.rfind(kOf), total = of + kOf.size();
  if (of == std::string_view::npos || of < kDigits + 2 || name.size() <= total + kDigits) return "";
  const size_t number = of - kDigits;
  const auto digits = [&](size_t at) {
    return name.substr(at, kDigits).find_first_not_of("0123456789") == std::string_view::npos;
  };
  const bool shard = digits(number) && digits(total) && name[number - 1] == '-' && name[total + kDigits] == '.';
  return shard ? name.substr(0, number - 1) : "";
}

// The split that a file or folder looks like a part of, or nothing: "test" of "test-00000-of-00002.parquet" and of
// "test.jsonl", the folder "train_sft".
std::string split_of_name(std::string_view name, bool is_folder) {
  constexpr std::string_view kUsual[] = {"train", "validation", "valid", "val", "dev", "test", "eval"};
  if (!is_folder && !kind_of_name(name)) return "";
  if (const std::string_view shard = shard_stem(name); !is_folder && !shard.empty()) return std::string(shard);
  const std::string_view stem = is_folder ? name : name.substr(0, name.find_first_of("-."));
  const std::string_view word = stem.substr(0, stem.find('_'));
  const bool usual = std::ranges::find(kUsual, word) != std::end(kUsual);
  return std::string(usual ? stem : "");
}

// The folder lacks the split that is asked for: that is an error where it has others, for all of them would be read.
void check_unsplit(const std::string& folder, std::string_view key, const DatasetQuery& query) {
  if (query.split.empty()) return;
  const std::vector<std::string> there = splits_of(folder);
  if (there.empty()) return;
  throw ConfigError(fmt::format("{}={}: {}={} has no such split; it has {}", query.split_key, query.split, key, folder,
                                listed(there, kListed)));
}

// Data that is not read must not be missed in silence.
void say_left_aside(const std::string& folder, const std::vector<std::string>& names, std::string_view key) {
  if (names.empty()) return;
  bool packed = std::any_of(names.begin(), names.end(), is_unread_packing);
  log_once(LogLevel::kWarning, fmt::format("{}={}: {} {} left aside: {}{}", key, folder, names.size(),
                                           names.size() == 1 ? "entry is" : "entries are", listed(names, kListed),
                                           packed ? " (of packed files .gz and .zst are read)" : ""));
}

// ".jsonl", or ".jsonl.gz".
std::string ending_of(std::string_view name) {
  const std::string_view unpacked = unpacked_name(name);
  const size_t dot = unpacked.rfind('.');
  return std::string(dot == std::string_view::npos ? name : name.substr(dot));
}

// A file beside the one it was packed into: both would be trained on.
void check_packed_twice(const std::vector<std::string>& paths, std::string_view key) {
  std::map<std::string_view, std::string_view> seen;
  for (const std::string& path : paths) {
    const auto [other, fresh] = seen.emplace(unpacked_name(path), path);
    if (fresh) continue;
    throw ConfigError(
        fmt::format("{}: {} lies beside {}, which is read too: remove one, or name the files by a "
                    "pattern such as *{}",
                    key, path, base_name(other->second), ending_of(path)));
  }
}

// The files of a folder whose names match the pattern and have an ending that is read; they must agree in it.
DatasetFiles files_in(const std::string& folder, const std::string& pattern, std::string_view key,
                      const DatasetQuery& query) {
  std::optional<DatasetKind> kind;
  DatasetFiles files;
  std::vector<std::string> left_aside;
  // A pattern may name a loader's files whatever their ending; of a folder those are read that look like data.
  const bool named = pattern != "*" && (query.loader || unpacked_name(pattern).ends_with(".json"));
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    if (entry.name.starts_with('.') || fnmatch(pattern.c_str(), entry.name.c_str(), 0) != 0) continue;
    std::optional<DatasetKind> entry_kind = named ? kind_of_named(entry.name, query) : kind_of_entry(entry.name, query);
    if (entry.is_folder || !entry_kind) {
      left_aside.push_back(entry.name + (entry.is_folder ? "/" : ""));
      continue;
    }
    if (kind && *kind != *entry_kind) {
      throw ConfigError(
          fmt::format("{}={} holds files of several kinds ({} and {}): name one file, or a pattern such as {}", key,
                      folder, base_name(files.paths[0]), entry.name, join_path(folder, "*" + ending_of(entry.name))));
    }
    kind = entry_kind;
    files.paths.push_back(join_path(folder, entry.name));
    need_regular(files.paths.back(), key);
  }
  if (files.paths.empty()) {
    throw ConfigError(fmt::format("{}={}: no {} file {}{}", key, folder, kEndings,
                                  pattern == "*" ? "in this folder" : "matches '" + pattern + "' in this folder",
                                  left_aside.empty() ? "" : "; it holds " + listed(left_aside, kListed)));
  }
  check_packed_twice(files.paths, key);
  say_left_aside(folder, left_aside, key);
  files.kind = *kind;
  return files;
}

}  // namespace

std::optional<std::string> tfds_folder(const std::string& path, std::string_view key, const DatasetQuery& query) {
  if (query.tfds_name.empty() && !query.tfds_required) return std::nullopt;
  return find_tfds({.path = path,
                    .path_key = std::string(key),
                    .name = query.tfds_name,
                    .name_key = query.tfds_name_key,
                    .required = query.tfds_required});
}

std::vector<std::string> splits_of(const std::string& folder) {
  std::set<std::string> out;
  for (const std::string& place : {folder, join_path(folder, "data")}) {
    if (file_store(place).kind(place) != PathKind::kFolder) continue;
    for (const FolderEntry& entry : file_store(place).list(place)) {
      if (entry.name.starts_with('.')) continue;
      if (std::string split = split_of_name(entry.name, entry.is_folder); !split.empty()) out.insert(std::move(split));
    }
  }
  return {out.begin(), out.end()};
}

bool has_split(const std::string& path, const std::string& split) { return split_path(path, split).has_value(); }

DatasetFiles find_dataset(const std::string& path, std::string_view key, const DatasetQuery& query) {
  if (path.empty())
    throw ConfigError(fmt::format("{} is empty: it names a {} file or a folder of them", key, kEndings));
  if (std::optional<std::string> tfds = tfds_folder(path, key, query))
    return {.kind = DatasetKind::kTfds, .paths = {}, .shards = tfds_shards(*tfds, query.split, query.split_key)};
  if (std::optional<std::string> part = split_path(path, query.split)) {
    return find_dataset(*part, key, {.loader = query.loader});
  }
  const FileStore& store = file_store(path);
  PathKind path_kind = store.kind(path);
  if (path_kind == PathKind::kFolder) {
    check_unsplit(path, key, query);
    return files_in(path, "*", key, query);
  }
  if (path_kind == PathKind::kFile) {
    need_regular(path, key);
    std::optional<DatasetKind> kind = kind_of_named(path, query);
    if (!kind) {
      throw ConfigError(fmt::format("{}={}: {}", key, path,
                                    packing_of(path) != Packing::kNone || is_unread_packing(path)
                                        ? std::string(kUnread)
                                        : fmt::format("a data set is a {} file, or a folder of them", kEndings)));
    }
    return {.kind = *kind, .paths = {path}, .shards = {}};
  }
  std::string name(base_name(path));
  if (is_pattern(name)) {
    std::string folder = path.substr(0, path.size() - name.size());
    if (folder.empty()) folder = "./";
    if (store.kind(folder) == PathKind::kFolder) return files_in(folder, name, key, query);
    throw ConfigError(fmt::format("{}={}: no such folder: {}", key, path, folder));
  }
  throw ConfigError(fmt::format("{}={}: no such file or folder", key, path));
}

std::vector<int64_t> DocumentSource::ids(int64_t) { throw std::logic_error("token ids of a source that holds none"); }

nlohmann::ordered_json DocumentSource::messages(int64_t) {
  throw std::logic_error("messages of a source that holds none");
}

nlohmann::ordered_json question_and_answer(std::string question, std::string answer) {
  return {{{"role", "user"}, {"content", std::move(question)}},
          {{"role", "assistant"}, {"content", std::move(answer)}}};
}

void require_utf8(std::string_view text, const DocumentSource& source, int64_t i) {
  const size_t bad = find_invalid_utf8(text);
  if (bad == std::string_view::npos) return;
  throw FormatError(source.where(i), fmt::format("not UTF-8: byte 0x{:02x} at offset {} of the document",
                                                 static_cast<unsigned char>(text[bad]), bad));
}

std::unique_ptr<DocumentSource> open_documents(const DatasetFiles& files, const SourceOptions& options) {
  const bool text_alone = files.kind == DatasetKind::kText || files.kind == DatasetKind::kLines;
  if (options.content == DocumentContent::kTokenIds && text_alone) {
    throw ConfigError(
        fmt::format("{}: a text file has no lists of token ids: tokenize_train_data=False "
                    "(tokenize_eval_data) reads JSONL or parquet",
                    files.paths.at(0)));
  }
  if (options.content == DocumentContent::kConversations && (text_alone || files.kind == DatasetKind::kTfds)) {
    throw ConfigError(fmt::format("{}: holds no conversations: use_sft=True reads JSONL or parquet",
                                  text_alone ? files.paths.at(0) : files.shards.at(0).path));
  }
  switch (files.kind) {
    case DatasetKind::kText:
      return open_text(files.paths);
    case DatasetKind::kLines:
      return open_lines(files.paths);
    case DatasetKind::kJsonl:
      return open_jsonl(files.paths, options);
    case DatasetKind::kParquet:
      return open_parquet(files.paths, options);
    case DatasetKind::kTfds:
      return open_tf_records(files.shards, options);
  }
  throw RuntimeFault("a data set of a kind without a reader");
}

}  // namespace fathom
