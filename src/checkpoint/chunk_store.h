// Where the bytes of chunks are kept: many in one data file, or each in a file of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/byte_sink.h"

namespace fathom {

// Array and number of a chunk.
using ChunkId = std::pair<size_t, int64_t>;

// Where the bytes of one chunk lie: in a file, or here when they are few.
struct ChunkPlace {
  std::string file = {};  // in the folder of the store; empty: `bytes` are the chunk
  int64_t offset = 0;
  int64_t length = 0;
  std::string bytes = {};
};

// Thread-safe. Throws RuntimeFault naming a file that cannot be written.
class ChunkStore {
 public:
  virtual ~ChunkStore() = default;
  // Stores the bytes that `encode` hands to the sink under a name. `id`: which chunk they are, if they are one.
  virtual ChunkPlace put(const std::string& name, std::optional<ChunkId> id,
                         const std::function<void(ByteSink&)>& encode) = 0;
  // Waits until all that put() has returned is on the disk.
  virtual void sync() = 0;
  // No put() follows; all is in its files, though maybe not on the disk.
  virtual void close() = 0;
};

// Data files <folder>/<subfolder>d/<32 hexadecimal digits>, as many at once as there are threads in put(). A local one
// is closed when it has grown to `file_bytes`; on gs:// and s3:// each is an object, kept in memory until it would
// grow over them and then written whole. Chunks of at most `inline_bytes` are kept in their place.
struct DataFileOptions {
  std::string folder;
  std::string subfolder;  // empty or with '/' at its end
  int64_t file_bytes = 0;
  int64_t inline_bytes = 0;
  // Called with the chunks of an object when it has been written; may be empty. Local files are not told of.
  std::function<void(const std::vector<std::pair<ChunkId, ChunkPlace>>&)> written = {};
};
std::unique_ptr<ChunkStore> data_file_store(DataFileOptions options);
// Files <folder>/<name>, local or remote.
std::unique_ptr<ChunkStore> plain_file_store(std::string folder);

// A name for a data file: 32 hexadecimal digits that no other call gives.
std::string fresh_file_name();

}  // namespace fathom
