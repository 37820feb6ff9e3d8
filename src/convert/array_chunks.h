// Arrays of ours cut into the chunks of a checkpoint of MaxText's form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/orbax_plan.h"
#include "convert/array_source.h"
#include "convert/chunk_grid.h"
#include "convert/peer_places.h"

namespace fathom {

// A stored array and what it is made of.
struct ChunkedArray {
  size_t index = 0;  // of ours, in the source
  DType dtype = DType::kF32;
  std::vector<int64_t> ours;  // sizes
  PeerPlace place;            // in the form of ours
  ChunkGrid grid;
};

struct ArrayChunk {
  size_t array = 0;                   // number of its array in the list and in the plan
  std::vector<int64_t> place;         // of the chunk along each axis
  std::vector<int64_t> start, sizes;  // of what it holds of the array
};

StoredArraySpec stored_array(const ChunkedArray& array);

// The chunks of an array in the order of its memory, behind those in `chunks`.
void add_chunks(size_t number, const ChunkedArray& array, std::vector<ArrayChunk>& chunks);

// What a chunk holds of the array, along our axes.
ArraySlice slice_of(const ChunkedArray& array, const ArrayChunk& chunk);

// Fills memory of the calling thread, good until its next call, with a chunk: its part of our array, moved into the
// checkpoint's order of axes, and zeros over the array's end.
std::span<const std::byte> make_chunk(const ArraySource& source, const ChunkedArray& array, const ArrayChunk& chunk);

}  // namespace fathom
