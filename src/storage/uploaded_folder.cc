#include "storage/uploaded_folder.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "base/waiting.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPiece = int64_t{8} << 20;  // bytes
// Seconds: whoever has waited longer for an upload that then fails does not wait for another.
constexpr double kLongWait = 3;

std::string make_local_copy(const std::string& remote) {
  std::string name = (fs::temp_directory_path() / "fathom-run-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw RuntimeFault(remote + ": no folder for its local copy can be made, " + name +
                       " (TMPDIR): " + std::strerror(errno));
  }
  return name;
}

// What a file holds now, some at a time. Returns how many bytes.
int64_t copy(const std::string& from, const std::string& to) {
  const std::unique_ptr<const FileReader> source = file_store(from).open(from);
  const int64_t bytes = source->size();
  const std::unique_ptr<FileUpload> target = file_store(to).upload(to);
  std::string piece;
  for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(piece.size())) {
    piece.resize(static_cast<size_t>(std::min(kPiece, bytes - at)));
    source->read(at, std::as_writable_bytes(std::span(piece)));
    target->append(piece);
  }
  target->finish();
  return bytes;
}

}  // namespace

UploadedFolder::UploadedFolder(std::string remote) : remote_(std::move(remote)), local_(make_local_copy(remote_)) {
  on_stop_.emplace(local_);
}

UploadedFolder::~UploadedFolder() {
  try {
    if (given_up_) throw RuntimeFault("not all of " + remote_ + " is there");
    upload();
    std::error_code none;
    fs::remove_all(local_, none);
  } catch (const std::exception& e) {
    log_line(LogLevel::kError, std::string(e.what()) + "; all of it is in " + local_);
  }
}

void UploadedFolder::require_writable() const {
  const std::string path = join_path(remote_, ".fathom-can-write");
  const FileStore& store = file_store(path);
  store.write_atomically(path, "");
  store.remove(path);
}

bool UploadedFolder::fetch(const std::string& name) {
  const std::string there = join_path(remote_, name), here = join_path(local_, name);
  if (file_store(there).kind(there) != PathKind::kFile) return false;
  const int64_t bytes = copy(there, here);
  const std::lock_guard lock(uploading_);
  uploaded_[name] = {bytes, fs::last_write_time(here)};
  return true;
}

void UploadedFolder::upload_soon() {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wakes_.notify_all();
}

void UploadedFolder::upload() {
  Waiting waiting("uploading to " + remote_);
  const Stopwatch since;
  end_work();
  given_up_ = true;
  const std::exception_ptr failure = std::exchange(failure_, nullptr);
  if (failure && since.seconds() > kLongWait) std::rethrow_exception(failure);
  upload_changed();
  given_up_ = false;
}

void UploadedFolder::end_work() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wakes_.notify_all();
  thread_.join();
  ends_ = wanted_ = false;
}

void UploadedFolder::work() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wakes_.wait(lock, [this] { return wanted_ || ends_; });
      if (ends_) return;
      wanted_ = false;
    }
    try {
      upload_changed();
    } catch (const std::exception& e) {
      const std::lock_guard lock(mutex_);
      if (ends_) {
        failure_ = std::current_exception();
        return;
      }
      log_warning("{}; it is tried again later", e.what());
    }
  }
}

void UploadedFolder::upload_changed() {
  const std::lock_guard lock(uploading_);
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(local_)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), local_).generic_string();
    // Looked at before it is read: what is added meanwhile goes with the next call.
    const Mark now = {static_cast<int64_t>(entry.file_size()), entry.last_write_time()};
    auto there = uploaded_.find(name);
    if (now.first == 0 || (there != uploaded_.end() && there->second == now)) continue;
    copy(entry.path().string(), join_path(remote_, name));
    uploaded_[name] = now;
  }
}

}  // namespace fathom
