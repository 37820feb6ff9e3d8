// What a writer has made whole, so that another attempt can go on from it.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "checkpoint/chunk_store.h"

namespace fathom {

// A text file of lines, each with its checksum; what follows the first line that is broken is cut off. Lines:
//   fathom PLAN                    the first: what is being written
//   boot ID                        an attempt begins, since this start of the machine; or the disk failed (any ID)
//   chunk ARRAY NUMBER FILE OFFSET LENGTH
//   inline ARRAY NUMBER BYTES      in hexadecimal digits
//   disk N                         the first N chunks of the file are on the disk
// A killed process loses nothing that it wrote, so its chunks count as long as the machine runs on; after a start of
// the machine (or on another) only those that were on the disk do.
class WriteJournal {
 public:
  // Opens the file, or makes it, and keeps other processes from it. One with another plan is emptied. Throws
  // ConfigError when another process has it, RuntimeFault when it cannot be written.
  WriteJournal(std::string path, std::string_view plan);
  ~WriteJournal();
  WriteJournal(const WriteJournal&) = delete;
  WriteJournal& operator=(const WriteJournal&) = delete;

  // Of earlier attempts.
  const std::map<ChunkId, ChunkPlace>& chunks() const { return chunks_; }
  // Whether there was a file, of another plan.
  bool emptied() const { return emptied_; }

  // Thread-safe. Returns the number of chunks in the file.
  int64_t add(const ChunkId& chunk, const ChunkPlace& place);
  void on_disk(int64_t chunks);
  // The disk did not take what the system had taken: of the chunks so far, only those on the disk count from now on.
  void disk_failed();

 private:
  void append(std::string_view line);
  void read(std::string_view plan);
  [[noreturn]] void fail() const;

  std::string path_;
  int descriptor_ = -1;
  bool emptied_ = false;
  std::map<ChunkId, ChunkPlace> chunks_;
  std::mutex mutex_;
  int64_t count_ = 0;   // of the chunks in the file
  int64_t length_ = 0;  // of its whole lines
};

// The lines about one chunk and, in `out`, what such lines say, up to the first that is broken.
std::string journal_line(const ChunkId& chunk, const ChunkPlace& place);
void read_journal_lines(std::string_view text, std::map<ChunkId, ChunkPlace>& out);

}  // namespace fathom
