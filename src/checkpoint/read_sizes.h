// How the numbers of a large array are read from files.
#pragma once

#include <cstdint>
#include <string>

#include "base/remote_path.h"

namespace fathom {

// In bytes. Pieces that lie no more than `gap` apart are read together.
struct ReadSizes {
  int64_t task;  // of the array, for one thread
  int64_t read;  // in one call
  int64_t gap;
};

// What is read in one call stays in a core's cache until it is converted. The kernel reads and copies a page (4 KiB) in
// the time of a call.
inline constexpr ReadSizes kLocalReads = {.task = int64_t{2} << 20, .read = int64_t{256} << 10, .gap = 4096};
// Each read is a request over the network, and takes as long as a megabyte does.
inline constexpr ReadSizes kRemoteReads = {
    .task = int64_t{16} << 20, .read = int64_t{16} << 20, .gap = int64_t{1} << 20};

inline const ReadSizes& read_sizes(const std::string& path) { return is_remote(path) ? kRemoteReads : kLocalReads; }

}  // namespace fathom
