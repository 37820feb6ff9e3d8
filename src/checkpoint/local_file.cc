#include "checkpoint/local_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

void sync_path(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  const bool done = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int fault = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!done && !(flags == O_DIRECTORY && fault == EINVAL)) {  // not every file system can sync a folder
    throw RuntimeFault(path + ": cannot write: " + std::strerror(fault));
  }
}

}  // namespace

LocalFile::LocalFile(std::string path) : path_(std::move(path)) {
  std::error_code fault;
  fs::create_directories(fs::path(path_).parent_path(), fault);
  if (fault) throw RuntimeFault(path_ + ": cannot make its folder: " + fault.message());
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot make it");
}

LocalFile::~LocalFile() { ::close(descriptor_); }

void LocalFile::fail(std::string_view what) const {
  throw RuntimeFault(fmt::format("{}: {}: {}", path_, what, std::strerror(errno)));
}

void LocalFile::write(std::string_view bytes, int64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write");
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
}

void LocalFile::sync() const {
  if (::fdatasync(descriptor_) != 0) fail("cannot write");
}

void sync_folder(const std::string& folder) { sync_path(folder, O_DIRECTORY); }

void sync_tree(const std::string& folder) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) {
      sync_tree(entry.path());
    } else {
      sync_path(entry.path(), 0);
    }
  }
  sync_folder(folder);
}

}  // namespace fathom
