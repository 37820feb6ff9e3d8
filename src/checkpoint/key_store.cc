#include "checkpoint/key_store.h"

#include <cstring>
#include <map>
#include <mutex>

#include "base/error.h"
#include "base/remote_path.h"

namespace fathom {
namespace {

constexpr size_t kOpenFiles = 128;

class FileKeys final : public KeyStore {
 public:
  explicit FileKeys(std::string folder) : folder_(std::move(folder)) {}

  std::optional<StoredBytes> find(const std::string& key) const override {
    if (!stays_in_folder(key)) return std::nullopt;
    const std::string path = join_path(folder_, key);
    if (file_store(path).kind(path) != PathKind::kFile) return std::nullopt;
    return files_.file(path, file_store(path).size(path));
  }

 private:
  std::string folder_;
  OpenFiles files_;
};

}  // namespace

void StoredBytes::read(int64_t from, std::span<std::byte> out) const {
  if (file != nullptr) {
    file->read(offset + from, out);
  } else if (!out.empty()) {
    std::memcpy(out.data(), held.data() + from, out.size());
  }
}

StoredBytes StoredBytes::part(int64_t from, int64_t count) const {
  StoredBytes out = *this;
  out.offset += from;
  out.size = count;
  if (file == nullptr) out.held = held.substr(static_cast<size_t>(from), static_cast<size_t>(count));
  return out;
}

std::string StoredBytes::text(int64_t limit) const {
  if (size > limit) {
    throw FormatError(path, offset, fmt::format("{} bytes are more than the {} that are read", size, limit));
  }
  std::string out(static_cast<size_t>(size), '\0');
  read(0, std::as_writable_bytes(std::span(out)));
  return out;
}

// The readers of the files that were read last, and all sizes that were looked up.
class OpenFiles::Cache {
 public:
  std::shared_ptr<const FileReader> reader(const std::string& path) {
    {
      std::lock_guard lock(mutex_);
      if (auto it = open_.find(path); it != open_.end()) {
        it->second.used = ++uses_;
        return it->second.reader;
      }
    }
    std::shared_ptr<const FileReader> reader = file_store(path).open(path);
    std::lock_guard lock(mutex_);
    open_.insert_or_assign(path, Open{reader, ++uses_});
    if (open_.size() > kOpenFiles) {
      open_.erase(std::ranges::min_element(open_, {}, [](const auto& entry) { return entry.second.used; }));
    }
    return reader;
  }

  int64_t size(const std::string& path) {
    {
      std::lock_guard lock(mutex_);
      if (auto it = sizes_.find(path); it != sizes_.end()) return it->second;
    }
    const int64_t size = file_store(path).size(path);
    std::lock_guard lock(mutex_);
    sizes_.insert_or_assign(path, size);
    return size;
  }

 private:
  struct Open {
    std::shared_ptr<const FileReader> reader;
    int64_t used = 0;  // when
  };
  std::mutex mutex_;
  std::map<std::string, Open> open_;
  std::map<std::string, int64_t> sizes_;
  int64_t uses_ = 0;
};

// A file that is opened again when it has been closed.
class OpenFiles::Reader final : public FileReader {
 public:
  Reader(std::shared_ptr<Cache> cache, std::string path) : cache_(std::move(cache)), path_(std::move(path)) {}
  int64_t size() const override { return cache_->size(path_); }
  void read(int64_t offset, std::span<std::byte> out) const override { cache_->reader(path_)->read(offset, out); }

 private:
  std::shared_ptr<Cache> cache_;
  std::string path_;
};

std::shared_ptr<OpenFiles::Cache> OpenFiles::make_cache() { return std::make_shared<Cache>(); }

StoredBytes OpenFiles::file(const std::string& path, int64_t size) const {
  return {.path = path, .size = size, .file = std::make_shared<Reader>(cache_, path)};
}
StoredBytes OpenFiles::file(const std::string& path) const { return file(path, cache_->size(path)); }

std::unique_ptr<const KeyStore> open_file_keys(const std::string& folder) { return std::make_unique<FileKeys>(folder); }

bool stays_in_folder(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace fathom
