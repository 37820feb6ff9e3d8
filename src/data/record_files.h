// Files of TFRecords with an index of where their records begin, made as far as it is asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/part_cache.h"
#include "storage/file_store.h"

namespace fathom {

// A file of records as the data set's own description gives it.
struct RecordShard {
  std::string path;
  int64_t records = 0;
  int64_t bytes = 0;  // of the file
};

// Nothing is read before a record is asked for. To find a record, the heads of those before it in its file are read
// (16 bytes of each), once: 8 bytes of memory a record, at most kMostIndexed of them at a time. Records of local files
// are read where they lie; of objects in buckets the parts used last are kept. Not for several threads at once.
class RecordFiles {
 public:
  static constexpr size_t kMostIndexed = size_t{32} << 20;

  // `cache_bytes`: of objects in buckets, or of local files too with `cache_local`.
  RecordFiles(std::vector<RecordShard> shards, int64_t cache_bytes, bool cache_local = false);

  const std::vector<RecordShard>& shards() const { return shards_; }
  // Record i of a shard, valid until the next call. Throws FormatError naming file and record where the file is cut
  // short, holds another number of records than was said, or its bytes do not have their checksums.
  std::string_view record(size_t shard, int64_t i);
  // "file: record 7", counted from 0.
  std::string where(size_t shard, int64_t i) const;

 private:
  struct File {
    std::unique_ptr<const FileReader> reader;  // while it is open
    std::vector<int64_t> begins;               // of the records known so far, and the end of the last of them
  };
  const FileReader& reader(size_t shard);
  void read(size_t shard, int64_t offset, char* out, size_t size);
  // Makes the index of a shard reach record i.
  void find(size_t shard, int64_t i);
  int64_t next_begin(size_t shard, int64_t i, int64_t begin);
  [[noreturn]] void fail_early_end(size_t shard, int64_t i, int64_t begin) const;

  std::vector<RecordShard> shards_;
  std::vector<File> files_;
  size_t open_files_ = 0;
  size_t indexed_ = 0;  // records
  bool cache_local_;
  PartCache cache_;
  std::vector<char> buffer_;  // the record given last, and its tail
};

}  // namespace fathom
