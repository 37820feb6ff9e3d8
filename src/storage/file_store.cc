#include "storage/file_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/mapped_file.h"
#include "base/remote_path.h"
#include "storage/arrow_module.h"

namespace fathom {

namespace {

namespace fs = std::filesystem;

class LocalReader final : public FileReader {
 public:
  explicit LocalReader(const std::string& path)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (file_ < 0) throw FormatError(path, std::string("cannot open: ") + std::strerror(errno));
    struct stat info {};
    if (::fstat(file_, &info) == 0 && S_ISREG(info.st_mode)) return;
    ::close(file_);
    throw FormatError(path, "not a regular file");
  }
  ~LocalReader() override { ::close(file_); }
  LocalReader(const LocalReader&) = delete;
  LocalReader& operator=(const LocalReader&) = delete;

  void read(int64_t offset, std::span<std::byte> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      ssize_t n =
          ::pread(file_, out.data() + done, out.size() - done, static_cast<off_t>(offset) + static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        std::string reason = n == 0 ? "the file ends here" : std::strerror(errno);
        throw FormatError(path_, offset + static_cast<int64_t>(done), "cannot read: " + reason);
      }
      done += static_cast<size_t>(n);
    }
  }

 private:
  std::string path_;
  int file_;
};

class LocalStore final : public FileStore {
 public:
  PathKind kind(const std::string& path) const override {
    std::error_code fault;
    fs::file_status status = fs::status(path, fault);
    if (fs::is_directory(status)) return PathKind::kFolder;
    return fs::exists(status) ? PathKind::kFile : PathKind::kAbsent;
  }

  int64_t size(const std::string& path) const override {
    std::error_code fault;
    uintmax_t size = fs::file_size(path, fault);
    if (fault) throw FormatError(path, "cannot read: " + fault.message());
    return static_cast<int64_t>(size);
  }

  FileBytes read(const std::string& path) const override {
    std::shared_ptr<const MappedFile> file = MappedFile::open(path);
    return {{reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, file};
  }

  std::unique_ptr<const FileReader> open(const std::string& path) const override {
    return std::make_unique<LocalReader>(path);
  }

  std::vector<FolderEntry> list(const std::string& path) const override {
    std::vector<FolderEntry> entries;
    try {
      for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
        bool folder = entry.is_directory();
        int64_t size = entry.is_regular_file() ? static_cast<int64_t>(entry.file_size()) : 0;
        entries.push_back({.name = entry.path().filename().string(), .size = size, .is_folder = folder});
      }
    } catch (const fs::filesystem_error& e) {
      throw FormatError(path, "cannot list: " + e.code().message());
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
  }

  void write_atomically(const std::string& path, std::string_view content) const override {
    write_file_atomically(path, content);
  }

  void remove(const std::string& path) const override {
    std::error_code fault;
    fs::remove_all(path, fault);
    if (fault) throw RuntimeFault(path + ": cannot remove: " + fault.message());
  }
};

// Each read is a request of its own.
class ObjectReader final : public FileReader {
 public:
  explicit ObjectReader(std::string path) : path_(std::move(path)) {}
  void read(int64_t offset, std::span<std::byte> out) const override { arrow_module().read(path_, offset, out); }

 private:
  std::string path_;
};

// gs:// and s3://, through Arrow's file systems. The module is loaded by the first use, not by the choice of the store.
class ObjectStore final : public FileStore {
 public:
  PathKind kind(const std::string& path) const override { return arrow_module().kind(path, nullptr); }

  int64_t size(const std::string& path) const override {
    int64_t size = 0;
    if (arrow_module().kind(path, &size) != PathKind::kFile) throw FormatError(path, "no such file");
    return size;
  }

  FileBytes read(const std::string& path) const override {
    auto text = std::make_shared<std::string>(static_cast<size_t>(size(path)), '\0');
    arrow_module().read(path, 0, std::as_writable_bytes(std::span(*text)));
    return {*text, text};
  }

  std::unique_ptr<const FileReader> open(const std::string& path) const override {
    return std::make_unique<ObjectReader>(path);
  }

  std::vector<FolderEntry> list(const std::string& path) const override {
    std::vector<FolderEntry> entries = arrow_module().list(path);
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
  }

  void write_atomically(const std::string& path, std::string_view content) const override {
    arrow_module().write(path, content);
  }

  void remove(const std::string& path) const override {
    if (kind(path) != PathKind::kAbsent) arrow_module().remove(path);
  }
};

}  // namespace

const FileStore& file_store(std::string_view path) {
  static const LocalStore local;
  static const ObjectStore object;
  if (!is_remote(path)) return local;
  if (path.starts_with("gs://") || path.starts_with("s3://")) return object;
  throw ConfigError(std::string(path) + ": a path is local, gs:// or s3://");
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

std::string_view base_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos || path.size() == 1 ? path : path.substr(slash + 1);
}

}  // namespace fathom
