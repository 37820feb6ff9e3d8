#include "convert/source_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/remote_path.h"
#include "checkpoint/ocdbt_format.h"
#include "checkpoint/orbax_folder.h"
#include "checkpoint/orbax_tree.h"
#include "checkpoint/safetensors_folder.h"
#include "convert/folder_files.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// Where config.json and the tokenizer of a folder of weights stand: a checkpoint carries them beside its `items`.
std::string home_of(const std::string& folder) {
  if (TensorFolder::is_model_folder(folder) || !OrbaxFolder::is_checkpoint(folder)) return folder;
  const std::string tree = OrbaxFolder::open(folder).path();
  const std::string parent = folder_above(tree);
  const std::string config = join_path(tree, kModelConfig);
  return file_store(config).kind(config) == PathKind::kFile ? tree : parent;
}

bool is_companion(const FolderEntry& entry) {
  constexpr int64_t kMost = int64_t{64} << 20;
  constexpr std::string_view kOwn[] = {"_CHECKPOINT_METADATA", "_METADATA",      "_sharding",
                                       "commit_success.txt",   "manifest.ocdbt", kModelIndex};
  if (entry.is_folder || entry.size > kMost) return false;
  return !entry.name.ends_with(".safetensors") && std::ranges::find(kOwn, entry.name) == std::end(kOwn);
}

// Of a config.json, so that it says what was written.
ConfigChanges changes_of(const std::string& path, std::string_view text, const CompanionCopy& copy) {
  require_plain_json(path, text);
  const auto root = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) throw FormatError(path, "not a JSON object");
  ConfigChanges out = {{"quantization_config", ""}};
  constexpr const char* kModules = "num_nextn_predict_layers";
  if (copy.modules > 0 || root.contains(kModules)) out[kModules] = std::to_string(copy.modules);
  // Older transformers call it torch_dtype.
  out[root.contains("dtype") ? "dtype" : "torch_dtype"] = fmt::format("\"{}\"", name(copy.dtype));
  return out;
}

// Whether weights, or how they are read, change with a file.
bool is_of_weights(std::string_view name) {
  constexpr std::string_view kNames[] = {kModelIndex, kModelConfig, kOrbaxTree, kOcdbtManifest};
  return name.ends_with(".safetensors") || std::ranges::find(kNames, name) != std::end(kNames);
}

// Some bytes of a local file: those of other weights under its name differ.
void add_bytes(const std::string& path, int64_t size, std::vector<std::string>& parts) {
  constexpr int64_t kPlaces = 4, kBytes = 4096;
  const auto file = file_store(path).open(path);
  for (int64_t at = 0; at < size; at += std::max(kBytes, size / kPlaces)) {
    std::string bytes(static_cast<size_t>(std::min(kBytes, size - at)), '\0');
    file->read(at, std::as_writable_bytes(std::span(bytes)));
    parts.push_back(std::move(bytes));
  }
}

// The files of weights in a folder. A remote one tells when they were written, and each read would be a request.
void add_files(const std::string& folder, bool times, std::vector<std::string>& parts) {
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    if (entry.is_folder || !is_of_weights(entry.name)) continue;
    parts.push_back(fmt::format("{} {} {}", entry.name, entry.size, times || is_remote(folder) ? entry.written : 0));
    if (!is_remote(folder)) add_bytes(join_path(folder, entry.name), entry.size, parts);
  }
}

// All files in the folders of a local folder. Links to folders are passed over: one may lead back.
void add_folders(const std::string& folder, bool times, std::vector<std::string>& parts) {
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(folder); it != fs::recursive_directory_iterator(); ++it) {
    if (it.depth() > 0 && it->is_regular_file()) files.push_back(it->path());
  }
  std::ranges::sort(files);
  for (const fs::path& path : files) {
    const auto size = static_cast<int64_t>(fs::file_size(path));
    const auto written = times ? fs::last_write_time(path).time_since_epoch().count() : 0;
    parts.push_back(fmt::format("{} {} {}", path.lexically_relative(folder).string(), size, written));
    add_bytes(path.string(), size, parts);
  }
}

std::string canonical(const std::string& path) {
  std::error_code none;
  fs::path out = fs::weakly_canonical(fs::absolute(path, none), none);
  return (out.has_filename() ? out : out.parent_path()).string();
}

}  // namespace

std::map<std::string, std::string> companions(const CompanionCopy& copy) {
  const std::string home = home_of(copy.from);
  const FileStore& source = file_store(home);
  if (source.kind(join_path(home, kModelConfig)) != PathKind::kFile) {
    return {{std::string(kModelConfig), copy.made_config}};
  }
  std::map<std::string, std::string> out;
  for (const FolderEntry& entry : source.list(home)) {
    if (!is_companion(entry)) continue;
    const std::string path = join_path(home, entry.name);
    std::string file = source.read(path);
    const bool is_config = entry.name == kModelConfig;
    out[entry.name] = is_config ? changed_config(path, file, changes_of(path, file, copy)) : std::move(file);
  }
  return out;
}

void copy_companions(const CompanionCopy& copy) {
  for (const auto& [name, text] : companions(copy)) {
    file_store(copy.to).write_atomically(join_path(copy.to, name), text);
  }
}

bool is_tokenizer_file(std::string_view name) {
  // As the tokenizer and the templates read them (tokenizer/tokenizer_folder.h, chat/template_files.h).
  constexpr std::string_view kNames[] = {"tokenizer.json",    "tokenizer_config.json", "special_tokens_map.json",
                                         "added_tokens.json", "chat_template.jinja",   "chat_template.json"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

std::map<std::string, std::string> tokenizer_files(const std::string& folder_or_file) {
  const FileStore& source = file_store(folder_or_file);
  const PathKind kind = source.kind(folder_or_file);
  std::map<std::string, std::string> out;
  // A name that is nowhere, in a run that needs no tokenizer.
  if (kind == PathKind::kAbsent) return out;
  const bool file = kind == PathKind::kFile;
  std::string folder = file ? fs::path(folder_or_file).parent_path().string() : folder_or_file;
  if (folder.empty()) folder = ".";
  for (const FolderEntry& entry : source.list(folder)) {
    if (is_companion(entry) && is_tokenizer_file(entry.name)) {
      out[entry.name] = source.read(join_path(folder, entry.name));
    }
  }
  // Whatever it is called there.
  if (file) out["tokenizer.json"] = source.read(folder_or_file);
  return out;
}

std::string source_identity(const std::string& folder, bool times) {
  std::vector<std::string> parts;
  if (TensorFolder::is_model_folder(folder)) {
    add_files(folder, times, parts);
  } else if (OrbaxFolder::is_checkpoint(folder)) {
    const std::string tree = OrbaxFolder::open(folder).path();
    add_files(tree, times, parts);
    // Of a remote tree what stands in it is written with all of its folders.
    if (!is_remote(tree)) add_folders(tree, times, parts);
    const std::string config = join_path(folder_above(tree), kModelConfig);
    if (file_store(config).kind(config) == PathKind::kFile) parts.push_back(file_store(config).read(config));
  }
  return hash_of_parts(parts);
}

int64_t bytes_under(const std::string& folder) {
  int64_t bytes = 0;
  std::error_code none;
  if (is_remote(folder) || !fs::is_directory(folder, none)) return 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder, none)) {
    if (entry.is_regular_file(none)) bytes += static_cast<int64_t>(entry.file_size(none));
  }
  return bytes;
}

void require_other_place(const std::string& input, const std::string& output) {
  if (is_remote(input) != is_remote(output)) return;
  const std::string from = is_remote(input) ? input : canonical(input);
  const std::string to = is_remote(output) ? output : canonical(output);
  if (to == from || to.starts_with(from + "/")) {
    throw ConfigError(fmt::format("{}: the output may be neither the input {} nor a folder in it", output, input));
  }
}

}  // namespace fathom
