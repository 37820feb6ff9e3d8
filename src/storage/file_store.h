// Files and folders behind one interface, wherever they are: local, gs:// or s3://.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

enum class PathKind : uint8_t { kAbsent, kFile, kFolder };

struct FolderEntry {
  std::string name;  // without the folder
  int64_t size = 0;  // bytes; 0 for a folder
  bool is_folder = false;
  int64_t written = 0;  // when, in nanoseconds since a beginning that the store chooses; 0 for a folder
};

// An open file, for reads at any place.
class FileReader {
 public:
  virtual ~FileReader() = default;
  // Bytes, when it was opened.
  virtual int64_t size() const = 0;
  // Fills `out` with the bytes from `offset` on; throws FormatError when the file ends before. Thread-safe.
  virtual void read(int64_t offset, std::span<std::byte> out) const = 0;
};

// A file that is being written from its beginning to its end. Not for several threads at once. Throws RuntimeFault
// naming the path when it cannot be written.
class FileUpload {
 public:
  // Nothing is left of a file that finish() was not called for.
  virtual ~FileUpload() = default;
  // Of a file on gs:// or s3:// a few MB are held; the rest is on its way.
  virtual void append(std::string_view bytes) = 0;
  // Gives the file its name.
  virtual void finish() = 0;
};

// A file whose parts come in any order, each once. Throws as FileUpload does.
class FileInParts {
 public:
  // Nothing is left of a file that finish() was not called for.
  virtual ~FileInParts() = default;
  // Thread-safe.
  virtual void write(int64_t offset, std::string_view bytes) const = 0;
  // What is not written reads as zeros.
  virtual void resize(int64_t bytes) const = 0;
  // Gives the file its name. One on gs:// or s3:// goes there now, from a nameless file in $TMPDIR that has held it.
  virtual void finish() = 0;
};

// All functions throw FormatError (reading) or RuntimeFault (writing) naming the path. Thread-safe.
class FileStore {
 public:
  virtual ~FileStore() = default;
  virtual PathKind kind(const std::string& path) const = 0;
  // Bytes of a file that must exist.
  virtual int64_t size(const std::string& path) const = 0;
  // The whole file. Not mapped, for a mapped file that is cut short ends the process.
  std::string read(const std::string& path) const;
  // A file that must exist.
  virtual std::unique_ptr<const FileReader> open(const std::string& path) const = 0;
  // Entries of a folder that must exist, sorted by name; not recursive.
  virtual std::vector<FolderEntry> list(const std::string& path) const = 0;
  // The file appears under its name only when it is complete. Makes the parent folders.
  virtual void write_atomically(const std::string& path, std::string_view content) const = 0;
  // Both replace a file of that name when they are finished, and make the parent folders.
  virtual std::unique_ptr<FileUpload> upload(const std::string& path) const = 0;
  virtual std::unique_ptr<FileInParts> in_parts(const std::string& path) const = 0;
  // A file, or a folder with all it holds; nothing to do when it is absent.
  virtual void remove(const std::string& path) const = 0;
};

// The store of a path. Throws ConfigError for a scheme other than gs:// and s3://.
const FileStore& file_store(std::string_view path);
// "a/b" from "a" or "a/" and "b".
std::string join_path(std::string_view folder, std::string_view name);
// The part after the last '/', a '/' at the end left aside.
std::string_view base_name(std::string_view path);
// The folder above, a '/' at the end left aside: "." for a name alone, nothing for an empty path.
std::string folder_above(std::string_view path);

}  // namespace fathom
