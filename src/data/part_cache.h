// Reads of files in buckets, where every read is a request of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "storage/file_store.h"

namespace fathom {

// Parts of numbered files, read whole and kept; those used last are kept longest. Not for several threads at once.
class PartCache {
 public:
  static constexpr int64_t kPartBytes = int64_t{8} << 20;

  // Keeps at most `cache_bytes`, but two parts at least.
  explicit PartCache(int64_t cache_bytes, int64_t part_bytes = kPartBytes)
      : part_bytes_(part_bytes), most_parts_(std::max<size_t>(2, static_cast<size_t>(cache_bytes / part_bytes))) {}

  // Fills `out` with the bytes of file `index` from `offset` on, all of which are in the file. `reader` reads it, and
  // `size` is its length.
  void read(size_t index, const FileReader& reader, int64_t size, int64_t offset, std::span<std::byte> out);

 private:
  struct Part {
    std::pair<size_t, int64_t> key;  // file, number of the part
    std::vector<std::byte> bytes;
  };
  const Part& part(size_t index, const FileReader& reader, int64_t size, int64_t number);

  int64_t part_bytes_;
  size_t most_parts_;
  std::list<Part> parts_;  // the one used last first
  std::map<std::pair<size_t, int64_t>, std::list<Part>::iterator> places_;
};

}  // namespace fathom
