#include "convert/folder_files.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json_text.h"
#include "base/remote_path.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kStep = size_t{1} << 20;  // bytes of a file held at once

// Walks a folder and those in it. A link that leads back to a folder that was seen is not followed.
class Walk {
 public:
  Walk(std::string top, std::set<std::string> weights) : top_(std::move(top)), weights_(std::move(weights)) {}

  std::vector<FolderFile> files() {
    visit("");
    return std::move(files_);
  }

 private:
  void visit(const std::string& below) {
    const std::string folder = below.empty() ? top_ : join_path(top_, below);
    std::error_code none;
    if (!is_remote(top_) && !seen_.insert(fs::canonical(folder, none).string()).second) return;
    const FileStore& store = file_store(folder);
    for (const FolderEntry& entry : store.list(folder)) {
      if (entry.name == ".git" || entry.name == ".cache") continue;
      const std::string path = below.empty() ? entry.name : join_path(below, entry.name);
      if (entry.is_folder) {
        visit(path);
      } else if (!weights_.contains(path) && is_file(join_path(top_, path))) {
        files_.push_back({path, entry.size});
      }
    }
  }
  bool is_file(const std::string& path) const {
    std::error_code none;
    return is_remote(top_) || fs::is_regular_file(path, none);
  }

  std::string top_;
  std::set<std::string> weights_, seen_;
  std::vector<FolderFile> files_;
};

// Whether a file holds exactly what the other one does.
bool same_bytes(const FileReader& source, const std::string& path, int64_t bytes) {
  const FileStore& store = file_store(path);
  if (store.kind(path) != PathKind::kFile || store.size(path) != bytes) return false;
  const auto there = store.open(path);
  std::vector<std::byte> a(kStep), b(kStep);
  for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(kStep)) {
    const auto n = static_cast<size_t>(std::min<int64_t>(bytes - at, kStep));
    source.read(at, {a.data(), n});
    there->read(at, {b.data(), n});
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin())) return false;
  }
  return true;
}

void copy_file(const std::string& from, const std::string& to, int64_t bytes) {
  const auto source = file_store(from).open(from);
  if (same_bytes(*source, to, bytes)) return;
  std::unique_ptr<FileUpload> target = file_store(to).upload(to);
  std::string buffer(kStep, '\0');
  for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(kStep)) {
    const auto n = static_cast<size_t>(std::min<int64_t>(bytes - at, kStep));
    source->read(at, std::as_writable_bytes(std::span(buffer.data(), n)));
    target->append({buffer.data(), n});
  }
  target->finish();
}

}  // namespace

std::vector<FolderFile> files_beside_weights(const TensorFolder& folder) {
  std::set<std::string> weights = {std::string(kModelFile), std::string(kModelIndex)};
  for (const std::string& name : folder.names()) weights.emplace(base_name(folder.file_of(name).path()));
  return Walk(folder.path(), std::move(weights)).files();
}

std::string changed_config(const std::string& path, std::string_view text, const ConfigChanges& changes) {
  require_plain_json(path, text);
  try {
    Json config = Json::parse(text);
    if (!config.is_object()) throw FormatError(path, "it is not a JSON object");
    bool changed = false;
    for (const auto& [field, value] : changes) {
      if (value.empty()) {
        changed = config.erase(field) > 0 || changed;
      } else if (Json wanted = Json::parse(value); !config.contains(field) || config[field] != wanted) {
        config[field] = std::move(wanted);
        changed = true;
      }
    }
    return changed ? config.dump(2) + "\n" : std::string(text);
  } catch (const Json::exception& e) {
    throw_json_mistake(path, e);
  }
}

void copy_files(const FolderCopy& copy, const std::vector<FolderFile>& files) {
  for (const FolderFile& file : files) {
    const std::string from = join_path(copy.from, file.path), to = join_path(copy.to, file.path);
    if (file.path == kModelConfig && !copy.changes.empty()) {
      file_store(to).write_atomically(to, changed_config(from, file_store(from).read(from), copy.changes));
    } else {
      copy_file(from, to, file.bytes);
    }
    if (copy.copied) copy.copied(file.bytes);
  }
}

}  // namespace fathom
