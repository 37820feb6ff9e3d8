// A local file that is being written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

class LocalFile {
 public:
  // Makes it, with the folders above it, or empties it. Throws RuntimeFault naming it, as the others do.
  explicit LocalFile(std::string path);
  ~LocalFile();
  LocalFile(const LocalFile&) = delete;
  LocalFile& operator=(const LocalFile&) = delete;

  void write(std::string_view bytes, int64_t offset) const;
  // Waits until all of it is on the disk.
  void sync() const;
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail(std::string_view what) const;

  std::string path_;
  int descriptor_ = -1;
};

// Waits until a folder, all folders and all files in it are on the disk.
void sync_tree(const std::string& folder);
// Waits until all that was written to the file system of a folder is on the disk.
void sync_file_system(const std::string& folder);
// The names in a folder.
void sync_folder(const std::string& folder);

}  // namespace fathom
