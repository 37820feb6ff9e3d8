#include "checkpoint/key_store.h"

#include <cstring>

#include "base/error.h"
#include "base/remote_path.h"

namespace fathom {
namespace {

// More files than this are not kept open: a process may have 1024.
constexpr size_t kOpenFiles = 128;

class FileKeys final : public KeyStore {
 public:
  explicit FileKeys(std::string folder) : folder_(std::move(folder)) {}

  std::optional<StoredBytes> find(const std::string& key) const override {
    if (!stays_in_folder(key)) return std::nullopt;
    const std::string path = join_path(folder_, key);
    if (file_store(path).kind(path) != PathKind::kFile) return std::nullopt;
    return files_.open(path);
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

StoredBytes OpenFiles::open(const std::string& path) const {
  auto bytes_of = [&](const File& file) { return StoredBytes{.path = path, .size = file.size, .file = file.reader}; };
  {
    std::lock_guard lock(mutex_);
    if (auto it = files_.find(path); it != files_.end()) {
      it->second.used = ++uses_;
      return bytes_of(it->second);
    }
  }
  const FileStore& store = file_store(path);
  File file{.reader = store.open(path), .size = store.size(path)};
  std::lock_guard lock(mutex_);
  file.used = ++uses_;
  files_.insert_or_assign(path, file);
  if (files_.size() > kOpenFiles) {
    files_.erase(std::ranges::min_element(files_, {}, [](const auto& entry) { return entry.second.used; }));
  }
  return bytes_of(file);
}

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
