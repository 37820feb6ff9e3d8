// Text files packed by gzip or zstd, read at any place.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/file_store.h"

namespace fathom {

enum class Packing : uint8_t { kNone, kGzip, kZstd };

// By the ending of a name: .gz, .zst.
Packing packing_of(std::string_view name);
// The name without that ending.
std::string_view unpacked_name(std::string_view name);

// Neither packed form can be read from the middle, and a file in a bucket not in small pieces. So each is unpacked
// once, from its beginning to its end, when it is added, and kept packed anew in blocks that can: about as many bytes
// as the packed files have, in one file of the folder for temporary files (TMPDIR) that has no name and goes with the
// process. The time is that of unpacking (hundreds of megabytes a second) and of packing lightly; a read at any place
// unpacks one block, a fraction of a millisecond. The memory is two blocks, 16 bytes a block, and the window that a
// zstd file asks for (128 MiB at most). Every process of a job does so for itself. Not for several threads at once.
class PackedFiles {
 public:
  PackedFiles();
  ~PackedFiles();
  PackedFiles(const PackedFiles&) = delete;
  PackedFiles& operator=(const PackedFiles&) = delete;

  // Unpacks a file, local or in a bucket, or keeps one that is not packed; gives its size unpacked. `reader` reads the
  // bytes that come out, as long as this object lives. Throws FormatError when the file is broken, cut short, or
  // unpacks to more than kMostTimes its size (and 256 MiB); RuntimeFault when there is no room for temporary files.
  int64_t add(const std::string& path, std::unique_ptr<const FileReader>& reader);

  static constexpr int64_t kMostTimes = 200;

 private:
  class Blocks;
  class Reader;
  std::shared_ptr<Blocks> blocks_;
};

}  // namespace fathom
