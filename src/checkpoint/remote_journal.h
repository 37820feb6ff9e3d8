// What a writer has made whole on gs:// or s3://, where nothing can be appended to and nothing gets another name.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/chunk_store.h"

namespace fathom {

// A folder beside what is being written; as long as it is there, that is not whole. It holds "plan" (what is being
// written) and files of lines about chunks (write_journal.h), one for each so many bytes of chunks.
class RemoteJournal {
 public:
  // `folder`: made by begin(). `bytes`: so much may be lost.
  RemoteJournal(std::string folder, int64_t bytes) : folder_(std::move(folder)), bytes_(bytes) {}

  // The plan of the attempt that left the folder; empty without one.
  std::string plan() const;
  // The chunks that it left whole.
  std::map<ChunkId, ChunkPlace> chunks() const;
  // Makes the folder.
  void begin(std::string_view plan) const;
  // These are whole now. Thread-safe.
  void add(const std::vector<std::pair<ChunkId, ChunkPlace>>& chunks);
  void remove() const;

 private:
  std::string folder_;
  int64_t bytes_;
  std::mutex mutex_;
  std::string lines_;    // that are in no file yet
  int64_t waiting_ = 0;  // bytes of their chunks
};

}  // namespace fathom
