#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/remote_path.h"
#include "base/stop_signals.h"
#include "base/write_all.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kUsualMode = 0666;  // less what the process's mask takes away

[[noreturn]] void cannot_write(const std::string& path, const std::string& why) {
  throw RuntimeFault(path + ": cannot write: " + why);
}

// What a path names in the end, its links followed, whether it is there or not.
fs::path behind_links(fs::path path) {
  constexpr int kMostLinks = 40;  // as the kernel
  std::error_code none;
  for (int i = 0; fs::is_symlink(path, none); ++i) {
    if (i == kMostLinks) throw fs::filesystem_error("", std::make_error_code(std::errc::too_many_symbolic_link_levels));
    fs::path to = fs::read_symlink(path);
    path = to.is_absolute() ? to : path.parent_path() / to;
  }
  return path;
}

class OpenFile {
 public:
  OpenFile(const std::string& path, int flags, mode_t mode)
      : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~OpenFile() { close(); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int descriptor() const { return descriptor_; }
  bool close() { return descriptor_ < 0 || ::close(std::exchange(descriptor_, -1)) == 0; }

 private:
  int descriptor_;
};

// A device or a pipe. A pipe that nobody reads is an error, not a wait.
void write_straight(const std::string& path, std::string_view content) {
  OpenFile file(path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
  bool written =
      file.descriptor() >= 0 && ::fcntl(file.descriptor(), F_SETFL, 0) == 0 && write_all(file.descriptor(), content);
  if (!written || !file.close()) cannot_write(path, std::strerror(errno));
}

// Short, so that it is allowed wherever the final name is; no other process or thread makes the same one.
fs::path temporary_beside(const fs::path& target) {
  static std::atomic<int> count = 0;
  return target.parent_path() / fmt::format(".fathom-{}-{}.tmp", ::getpid(), count++);
}

void write_and_rename(const fs::path& target, std::string_view content) {
  const std::string temporary = temporary_beside(target);
  RemovedOnStop on_stop(temporary);
  struct stat old {};
  const bool replaces = ::stat(target.c_str(), &old) == 0;
  ::unlink(temporary.c_str());  // left by a process that had this one's number
  bool done = false;
  {
    OpenFile file(temporary, O_WRONLY | O_CREAT | O_EXCL, kUsualMode);
    done = file.descriptor() >= 0 && (!replaces || ::fchmod(file.descriptor(), old.st_mode & 07777) == 0) &&
           write_all(file.descriptor(), content) && ::fsync(file.descriptor()) == 0 && file.close();
  }
  if (!done || ::rename(temporary.c_str(), target.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    ::unlink(temporary.c_str());
    cannot_write(target, why);
  }
  OpenFile folder(target.has_parent_path() ? target.parent_path() : ".", O_RDONLY | O_DIRECTORY, 0);
  if (folder.descriptor() >= 0) ::fsync(folder.descriptor());  // the name; not every file system can
}

}  // namespace

std::string read_file(const std::string& path) {
  std::error_code none;
  const fs::file_status status = fs::status(path, none);
  if (fs::is_directory(status)) throw FormatError(path, "cannot read: it is a folder");
  if (fs::exists(status) && !fs::is_regular_file(status)) throw FormatError(path, "cannot read: it is no regular file");
  auto cannot_read = [&] { throw FormatError(path, std::string("cannot read: ") + std::strerror(errno)); };
  OpenFile file(path, O_RDONLY | O_NONBLOCK, 0);
  struct stat is {};
  if (file.descriptor() < 0 || ::fstat(file.descriptor(), &is) != 0) cannot_read();
  // The size is but a guess: files of /proc have none (and some of them give everything in the first read, or nothing
  // more), others may grow or be cut short at this moment.
  std::string bytes(std::max<size_t>(static_cast<size_t>(is.st_size) + 1, 4096), '\0');
  size_t length = 0;
  while (true) {
    if (length == bytes.size()) bytes.resize(2 * length);
    const ssize_t n = ::read(file.descriptor(), bytes.data() + length, bytes.size() - length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) cannot_read();
    if (n == 0) break;
    length += static_cast<size_t>(n);
  }
  bytes.resize(length);
  return bytes;
}

void write_file_atomically(const std::string& path, std::string_view content) {
  try {
    const fs::path target = behind_links(path);
    if (target.has_parent_path()) fs::create_directories(target.parent_path());
    std::error_code none;
    const fs::file_status status = fs::status(target, none);
    if (fs::is_directory(status)) cannot_write(path, "it is a folder");
    if (fs::exists(status) && !fs::is_regular_file(status)) return write_straight(target, content);
    write_and_rename(target, content);
  } catch (const fs::filesystem_error& e) {
    cannot_write(path, e.code().message());
  }
}

void require_writable(std::string_view key, const std::string& path) {
  auto refuse = [&](const std::string& why) { throw ConfigError(fmt::format("{}: {}", key, why)); };
  if (path.empty()) refuse("it names no file");
  if (is_remote(path)) refuse(path + ": only local files are written");
  std::error_code fault;
  fs::path place;
  try {
    place = behind_links(fs::absolute(path));
  } catch (const fs::filesystem_error& e) {
    refuse(fmt::format("{}: {}", path, e.code().message()));
  }
  for (const fs::path& part : place) {
    if (part.native().size() > NAME_MAX) refuse(path + ": File name too long");
  }
  const fs::file_status status = fs::status(place, fault);
  if (fault && fault != std::errc::no_such_file_or_directory && fault != std::errc::not_a_directory) {
    refuse(fmt::format("{}: {}", path, fault.message()));
  }
  if (fs::is_directory(status) || !place.has_filename()) refuse(path + " is a folder; name a file");
  while (!fs::exists(place, fault) && place.has_relative_path()) place = place.parent_path();
  if (place != fs::absolute(path) && !fs::exists(status) && !fs::is_directory(place, fault)) {
    refuse(fmt::format("{} is a file, so {} cannot be made", place.string(), path));
  }
  if (::access(place.c_str(), W_OK) != 0) {
    refuse(fmt::format("{}: {} cannot be written: {}", path, place.string(), std::strerror(errno)));
  }
}

}  // namespace fathom
