// The bytes of a checkpoint by their keys: each key a file of a folder, or a value of an OCDBT database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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

// Files of which only those that were read lately stay open, however many are known: a process may have 1,024.
// Thread-safe.
class OpenFiles {
 public:
  // The whole file, opened when it is read; of a file that is not there, an error then. It outlives the OpenFiles.
  StoredBytes file(const std::string& path, int64_t size) const;
  // The same with its size looked up. Throws FormatError when it is not there.
  StoredBytes file(const std::string& path) const;

 private:
  class Cache;
  class Reader;
  std::shared_ptr<Cache> cache_ = make_cache();
  static std::shared_ptr<Cache> make_cache();
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
