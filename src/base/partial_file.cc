#include "base/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/write_all.h"

namespace fathom {

PartialFile::PartialFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial"), on_stop_(partial_) {
  open();
}

// The lock goes with the process, so whoever holds it lives. A file that was renamed or removed between opening and
// locking is another process's: the name is opened again.
void PartialFile::open() {
  for (;;) {
    const int descriptor = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) fail(errno);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(descriptor);
      throw RuntimeFault(path_ + ": another process is writing it");
    }
    struct stat opened {
    }, named{};
    const bool same = ::fstat(descriptor, &opened) == 0 && ::stat(partial_.c_str(), &named) == 0 &&
                      opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    if (same && ::ftruncate(descriptor, 0) == 0) {
      descriptor_ = descriptor;
      return;
    }
    const int error = errno;
    ::close(descriptor);
    if (same) fail(error);
  }
}

PartialFile::~PartialFile() {
  if (descriptor_ < 0) return;
  ::unlink(partial_.c_str());
  ::close(descriptor_);
}

void PartialFile::fail(int error) const { throw RuntimeFault(path_ + ": cannot write: " + std::strerror(error)); }

void PartialFile::write(int64_t offset, std::string_view bytes) const {
  if (!write_all_at(descriptor_, offset, bytes)) fail(errno);
}

void PartialFile::resize(int64_t bytes) const {
  if (::ftruncate(descriptor_, bytes) != 0) fail(errno);
}

void PartialFile::finish() {
  if (::fsync(descriptor_) != 0 || ::rename(partial_.c_str(), path_.c_str()) != 0) fail(errno);
  ::close(std::exchange(descriptor_, -1));
}

}  // namespace fathom
