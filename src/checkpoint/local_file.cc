#include "checkpoint/local_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/write_all.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// Calls one of the kernel's syncs on what is there.
void sync_path(const std::string& path, int flags, int (*sync)(int)) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  const bool done = descriptor >= 0 && sync(descriptor) == 0;
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
  if (!write_all_at(descriptor_, offset, bytes)) fail("cannot write");
}

void LocalFile::sync() const {
  if (::fdatasync(descriptor_) != 0) fail("cannot write");
}

void sync_folder(const std::string& folder) { sync_path(folder, O_DIRECTORY, ::fsync); }

void sync_file_system(const std::string& folder) { sync_path(folder, O_DIRECTORY, ::syncfs); }

void sync_tree(const std::string& folder) {
  constexpr size_t kFew = 100;  // each is waited for; beyond that the whole file system takes less long
  std::vector<fs::directory_entry> entries;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    entries.push_back(entry);
    if (entries.size() > kFew) return sync_file_system(folder);
  }
  for (const fs::directory_entry& entry : entries) {
    sync_path(entry.path(), entry.is_directory() ? O_DIRECTORY : 0, ::fsync);
  }
  sync_folder(folder);
}

}  // namespace fathom
