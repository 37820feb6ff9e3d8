#include "storage/file_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/partial_file.h"
#include "base/remote_path.h"
#include "base/waiting.h"
#include "base/write_all.h"
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
    const bool is_file = ::fstat(file_, &info) == 0 && S_ISREG(info.st_mode);
    size_ = info.st_size;
    if (is_file) return;
    ::close(file_);
    throw FormatError(path, "not a regular file");
  }
  ~LocalReader() override { ::close(file_); }
  LocalReader(const LocalReader&) = delete;
  LocalReader& operator=(const LocalReader&) = delete;

  int64_t size() const override { return size_; }

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
  int64_t size_ = 0;
};

void make_folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  std::error_code fault;
  if (!folder.empty()) fs::create_directories(folder, fault);
  if (fault) throw RuntimeFault(path + ": cannot make its folder: " + fault.message());
}

class LocalUpload final : public FileUpload {
 public:
  explicit LocalUpload(const std::string& path) : file_(path) {}
  void append(std::string_view bytes) override {
    file_.write(length_, bytes);
    length_ += static_cast<int64_t>(bytes.size());
  }
  void finish() override { file_.finish(); }

 private:
  PartialFile file_;
  int64_t length_ = 0;
};

class LocalInParts final : public FileInParts {
 public:
  explicit LocalInParts(const std::string& path) : file_(path) {}
  void write(int64_t offset, std::string_view bytes) const override { file_.write(offset, bytes); }
  void resize(int64_t bytes) const override { file_.resize(bytes); }
  void finish() override { file_.finish(); }

 private:
  PartialFile file_;
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

  std::unique_ptr<const FileReader> open(const std::string& path) const override {
    return std::make_unique<LocalReader>(path);
  }

  std::vector<FolderEntry> list(const std::string& path) const override {
    std::vector<FolderEntry> entries;
    try {
      for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
        FolderEntry& out = entries.emplace_back();
        out.name = entry.path().filename().string();
        out.is_folder = entry.is_directory();
        if (!entry.is_regular_file()) continue;
        out.size = static_cast<int64_t>(entry.file_size());
        out.written = entry.last_write_time().time_since_epoch().count();
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

  std::unique_ptr<FileUpload> upload(const std::string& path) const override {
    make_folder_of(path);
    return std::make_unique<LocalUpload>(path);
  }

  std::unique_ptr<FileInParts> in_parts(const std::string& path) const override {
    make_folder_of(path);
    return std::make_unique<LocalInParts>(path);
  }

  void remove(const std::string& path) const override {
    std::error_code fault;
    fs::remove_all(path, fault);
    if (fault) throw RuntimeFault(path + ": cannot remove: " + fault.message());
  }
};

// A file without a name, which is gone with the process however that ends.
class NamelessFile {
 public:
  // `path` is what it is for.
  explicit NamelessFile(const std::string& path) : path_(path), folder_(fs::temp_directory_path().string()) {
    descriptor_ = ::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor_ >= 0) return;
    std::string name = folder_ + "/fathom-XXXXXX";  // not every file system knows O_TMPFILE
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) fail();
    ::unlink(name.c_str());
  }
  ~NamelessFile() { ::close(descriptor_); }
  NamelessFile(const NamelessFile&) = delete;
  NamelessFile& operator=(const NamelessFile&) = delete;

  void write(int64_t offset, std::string_view bytes) const {
    if (!write_all_at(descriptor_, offset, bytes)) fail();
  }
  void resize(int64_t bytes) const {
    if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) fail();
  }
  // Calls f with all its bytes, some at a time.
  template <class F>
  void for_each_piece(F f) const {
    std::string piece(size_t{8} << 20, '\0');
    for (off_t at = 0;;) {
      const ssize_t n = ::pread(descriptor_, piece.data(), piece.size(), at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail();
      if (n == 0) return;
      f(std::string_view(piece.data(), static_cast<size_t>(n)));
      at += n;
    }
  }

 private:
  [[noreturn]] void fail() const {
    throw RuntimeFault(path_ + ": cannot be kept in " + folder_ + " on its way (TMPDIR): " + std::strerror(errno));
  }

  std::string path_, folder_;
  int descriptor_ = -1;
};

class ObjectInParts final : public FileInParts {
 public:
  explicit ObjectInParts(std::string path) : path_(std::move(path)), file_(path_) {}
  void write(int64_t offset, std::string_view bytes) const override { file_.write(offset, bytes); }
  void resize(int64_t bytes) const override { file_.resize(bytes); }
  void finish() override {
    Waiting waiting("uploading " + path_);
    std::unique_ptr<FileUpload> upload = arrow_module().upload(path_);
    file_.for_each_piece([&](std::string_view bytes) { upload->append(bytes); });
    upload->finish();
  }

 private:
  std::string path_;
  NamelessFile file_;
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

  std::unique_ptr<const FileReader> open(const std::string& path) const override { return arrow_module().open(path); }

  std::vector<FolderEntry> list(const std::string& path) const override {
    std::vector<FolderEntry> entries = arrow_module().list(path);
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
  }

  void write_atomically(const std::string& path, std::string_view content) const override {
    std::unique_ptr<FileUpload> file = upload(path);
    file->append(content);
    file->finish();
  }

  std::unique_ptr<FileUpload> upload(const std::string& path) const override { return arrow_module().upload(path); }

  std::unique_ptr<FileInParts> in_parts(const std::string& path) const override {
    return std::make_unique<ObjectInParts>(path);
  }

  void remove(const std::string& path) const override {
    if (kind(path) != PathKind::kAbsent) arrow_module().remove(path);
  }
};

}  // namespace

std::string FileStore::read(const std::string& path) const {
  const std::unique_ptr<const FileReader> file = open(path);
  std::string bytes(static_cast<size_t>(file->size()), '\0');
  file->read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

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

std::string folder_above(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return path.empty() ? "" : ".";
  return std::string(path.substr(0, std::max<size_t>(slash, 1)));
}

}  // namespace fathom
