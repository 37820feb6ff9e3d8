// How converters cut arrays of a checkpoint into chunks.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/peer_places.h"
#include "model/params.h"

namespace fathom {

struct ChunkGrid {
  std::vector<int64_t> chunk;  // what is written at once; the last one along an axis may stand over its end
  std::vector<int64_t> inner;  // what a reader reads at once; divides `chunk`
};

// A chunk never spans two layers or two experts and holds at most 64 MiB, so that memory stays small however large the
// stack is. Inner chunks split the embedding axis (or, without one, the first that is long enough) by 128 or what of it
// divides the axis, so that each of 128 devices that share the array reads its own part alone.
ChunkGrid chunk_grid(const Param& param, const ParamArray& array, const PeerPlace& place);

}  // namespace fathom
