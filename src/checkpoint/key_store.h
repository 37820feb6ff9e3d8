// The bytes of a checkpoint by their keys: each key a file of a folder, or a value of an OCDBT database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "storage/file_store.h"

namespace fathom {

// Where the bytes of a value lie.
struct StoredBytes {
  std::string path;  // of the file, for messages
  int64_t offset = 0, size = 0;
  std::shared_ptr<const FileReader> file;  // null: the bytes are `held`
  std::string_view held;
  std::shared_ptr<const void> owner;  // of the held bytes

  // Fills `out` with the bytes from `from` on; they are there.
  void read(int64_t from, std::span<std::byte> out) const;
  // A part of them.
  StoredBytes part(int64_t from, int64_t count) const;
  // All of them. Throws FormatError when they are more than `limit`.
  std::string text(int64_t limit) const;
};

// Files that were opened lately, and their sizes. Thread-safe.
class OpenFiles {
 public:
  // The whole file. Throws FormatError when it is not there.
  StoredBytes open(const std::string& path) const;

 private:
  struct File {
    std::shared_ptr<const FileReader> reader;
    int64_t size = 0;
    int64_t used = 0;  // when
  };
  mutable std::mutex mutex_;
  mutable std::map<std::string, File> files_;
  mutable int64_t uses_ = 0;
};

// All functions are thread-safe and throw FormatError naming the file.
class KeyStore {
 public:
  virtual ~KeyStore() = default;
  // Nothing when there is no such key.
  virtual std::optional<StoredBytes> find(const std::string& key) const = 0;
};

// Keys are paths below a folder.
std::unique_ptr<const KeyStore> open_file_keys(const std::string& folder);
// Keys of the OCDBT database in a folder.
std::unique_ptr<const KeyStore> open_ocdbt(const std::string& folder);

// Whether a path that a file names stays in the folder: no "..", not absolute, no empty part.
bool stays_in_folder(std::string_view path);

}  // namespace fathom
