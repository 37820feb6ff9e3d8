#include "data/documents.h"

#include <fnmatch.h>

#include <optional>

#include "base/error.h"
#include "storage/file_store.h"

namespace fathom {

namespace {

constexpr std::string_view kEndings = ".txt, .jsonl or .parquet";

std::optional<DatasetKind> kind_of_name(std::string_view name) {
  if (name.ends_with(".txt")) return DatasetKind::kText;
  if (name.ends_with(".jsonl")) return DatasetKind::kJsonl;
  if (name.ends_with(".parquet")) return DatasetKind::kParquet;
  return std::nullopt;
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

// The files of a folder whose names match the pattern and have a known ending; they must agree in it.
DatasetFiles files_in(const std::string& folder, const std::string& pattern, std::string_view key) {
  std::optional<DatasetKind> kind;
  DatasetFiles files;
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    std::optional<DatasetKind> entry_kind = kind_of_name(entry.name);
    if (entry.is_folder || entry.name.starts_with('.') || !entry_kind) continue;
    if (fnmatch(pattern.c_str(), entry.name.c_str(), 0) != 0) continue;
    if (kind && *kind != *entry_kind) {
      throw ConfigError(
          fmt::format("{}={} holds files of several kinds ({} and {}): name one file, or a pattern such as {}", key,
                      folder, base_name(files.paths[0]), entry.name,
                      join_path(folder, "*" + std::string(entry.name.substr(entry.name.rfind('.'))))));
    }
    kind = entry_kind;
    files.paths.push_back(join_path(folder, entry.name));
  }
  if (files.paths.empty()) {
    throw ConfigError(fmt::format("{}={}: no {} file {}", key, folder, kEndings,
                                  pattern == "*" ? "in this folder" : "matches '" + pattern + "' in this folder"));
  }
  files.kind = *kind;
  return files;
}

}  // namespace

bool has_split(const std::string& path, const std::string& split) { return split_path(path, split).has_value(); }

DatasetFiles find_dataset(const std::string& path, std::string_view key, const std::string& split) {
  if (path.empty())
    throw ConfigError(fmt::format("{} is empty: it names a {} file or a folder of them", key, kEndings));
  if (std::optional<std::string> part = split_path(path, split)) return find_dataset(*part, key);
  const FileStore& store = file_store(path);
  PathKind path_kind = store.kind(path);
  if (path_kind == PathKind::kFolder) return files_in(path, "*", key);
  if (path_kind == PathKind::kFile) {
    std::optional<DatasetKind> kind = kind_of_name(path);
    if (!kind)
      throw ConfigError(fmt::format("{}={}: a data set is a {} file, or a folder of them", key, path, kEndings));
    return {*kind, {path}};
  }
  std::string name(base_name(path));
  if (name.find_first_of("*?") != std::string::npos) {
    std::string folder = path.substr(0, path.size() - name.size());
    if (folder.empty()) folder = "./";
    if (store.kind(folder) == PathKind::kFolder) return files_in(folder, name, key);
    throw ConfigError(fmt::format("{}={}: no such folder: {}", key, path, folder));
  }
  throw ConfigError(fmt::format("{}={}: no such file or folder", key, path));
}

std::unique_ptr<DocumentSource> open_documents(const DatasetFiles& files, const SourceOptions& options) {
  switch (files.kind) {
    case DatasetKind::kText:
      return open_text(files.paths);
    case DatasetKind::kJsonl:
      return open_jsonl(files.paths, options);
    case DatasetKind::kParquet:
      return open_parquet(files.paths, options);
  }
  throw RuntimeFault("a data set of a kind without a reader");
}

}  // namespace fathom
