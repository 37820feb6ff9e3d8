// A folder on gs:// or s3:// whose files grow, which objects cannot: they are written to a local copy, and what has
// changed there is uploaded from time to time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/stop_signals.h"

namespace fathom {

class UploadedFolder {
 public:
  // Makes the local copy, empty, a folder in $TMPDIR. Throws RuntimeFault when that cannot be made.
  explicit UploadedFolder(std::string remote);
  // Uploads what is not there yet and removes the local copy; a fault is logged, and the copy then stays.
  ~UploadedFolder();
  UploadedFolder(const UploadedFolder&) = delete;
  UploadedFolder& operator=(const UploadedFolder&) = delete;

  const std::string& local() const { return local_; }

  // Writes an object there and removes it again. Throws RuntimeFault when it cannot be written.
  void require_writable() const;
  // Brings one file into the local copy, if it is there; returns whether it is.
  bool fetch(const std::string& name);

  // Uploads what has changed, in a thread that the next call waits for. A fault is logged: what failed is tried again
  // with the next call.
  void upload_soon();
  // Uploads what has changed; files without a byte are left out. Throws RuntimeFault naming the file.
  void upload();

 private:
  // Bytes and time of change of a local file.
  using Mark = std::pair<int64_t, std::filesystem::file_time_type>;

  void upload_changed();
  void work();
  void end_work();

  std::string remote_, local_;
  std::optional<RemovedOnStop> on_stop_;
  std::mutex uploading_;                  // held while files go out
  std::map<std::string, Mark> uploaded_;  // what is there, by the name in the folder
  std::mutex mutex_;
  std::condition_variable wakes_;
  bool wanted_ = false, ends_ = false;
  std::exception_ptr failure_;  // of an upload under way when ends_ was set
  bool given_up_ = false;       // the last upload() failed
  std::thread thread_;
};

}  // namespace fathom
