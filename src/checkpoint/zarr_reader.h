// Reads the elements of a zarr array, chunk by chunk, on all cores.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/array_slice.h"
#include "checkpoint/key_store.h"
#include "checkpoint/zarr_metadata.h"

namespace fathom {

// Elements of a stored array: `count` of them, beginning with element `first` (row-major) of `box`.
struct StoredPiece {
  const ArraySlice* box = nullptr;  // what one chunk (or inner chunk) holds of the array: cut at the array's end
  int64_t first = 0, count = 0;
  const std::byte* data = nullptr;  // little-endian, aligned to their size
};
using VisitPiece = std::function<void(const StoredPiece&)>;

// An array as messages and keys name it.
struct ZarrSource {
  const KeyStore* keys = nullptr;
  std::string folder;  // for messages
  std::string name;    // of the array: its keys are below
  const ZarrArray* array = nullptr;
  // A chunk that is not stored holds the fill value; else it is lost, and an error.
  bool may_be_absent = false;
};

// Calls visit, on several threads at once, with pieces of at most 1 MiB that together hold every element of the boxes
// `wanted` once, and others of the same chunks. Of chunks that nothing codes only the bytes wanted are read; coded ones
// are decoded as a stream up to the last wanted element. Throws FormatError naming file, offset, array and chunk.
void read_zarr(const ZarrSource& source, std::span<const ArraySlice> wanted, const VisitPiece& visit);

// Calls visit with the bytes of every chunk that is stored, in order.
void visit_chunks(const ZarrSource& source, const std::function<void(const StoredBytes&)>& visit);

// Throws FormatError listing the chunks that are neither stored nor may be absent.
void require_chunks(const ZarrSource& source);

}  // namespace fathom
