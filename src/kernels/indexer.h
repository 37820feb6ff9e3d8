// The choice of keys by the indexer of sparse attention (abi.h: kIndexerSelection, kIndexerKeys).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/parallel.h"

namespace fathom {

// b rows of t keys and of s queries, g heads of width i; the keys are the same for all heads.
struct IndexerShape {
  int64_t b = 0, s = 0, t = 0, g = 0, i = 0;
};

// The scores I[j, t] = sum over g of weights[j, g] * max(q[j, g] . k[t], 0), in float32, and which keys a query sees:
// those t <= first + j of the same segment as key first + j.
struct Indexer {
  DType dtype = DType::kF32;  // of q and k: kF32 or kBF16
  IndexerShape shape;
  const void* q = nullptr;            // [b, s, g, i]
  const void* k = nullptr;            // [b, t, i]
  const float* weights = nullptr;     // [b, s, g]
  const int32_t* segments = nullptr;  // [b, t]
  int64_t first = 0;                  // the place of query 0 among the keys
};

// The top_k keys with the largest scores of those that a query sees; of equal scores the earliest. NaN counts as
// -infinity.
struct IndexerSelection {
  Indexer indexer;
  int64_t top_k = 0;        // at least 1
  float* cutoff = nullptr;  // [b, s], -infinity where all keys that are seen are kept
  int32_t* tie = nullptr;   // [b, s], the last key that is chosen at the cutoff; t - 1 where all are kept
  int32_t* keys = nullptr;  // [b, s, min(top_k, t)], the chosen keys, ascending, then -1
};

// The list again from cutoff and tie.
struct IndexerKeys {
  Indexer indexer;
  const float* cutoff = nullptr;
  const int32_t* tie = nullptr;
  int64_t n = 0;
  int32_t* keys = nullptr;  // [b, s, n]
};

// `first` comes from the device. Throws std::invalid_argument unless the queries stand among the keys, before anything
// is written; the kernels and their oracles begin with it.
void check_places(const Indexer& indexer);

namespace ref {
void indexer_selection(const IndexerSelection& args);
void indexer_keys(const IndexerKeys& args);
}  // namespace ref

namespace cpu {
void indexer_selection(const IndexerSelection& args, Parallel& parallel);
void indexer_keys(const IndexerKeys& args, Parallel& parallel);
}  // namespace cpu

}  // namespace fathom
