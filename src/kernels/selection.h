// The choice of one query from its scores, and what a list of chosen keys must be like.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fathom {

struct Cutoff {
  float score = 0;
  int32_t tie = 0;  // the last key that is chosen at this score
};

// The keys that the query at place `at` sees, ascending: those up to it of its segment.
void keys_seen(const int32_t* segments, int64_t at, std::vector<int32_t>& seen);

// The top_k (fewer than are seen) of the keys with the largest scores [t]; of equal scores the earliest. `keys` gets
// them, ascending. No score is NaN. `spare` is overwritten.
Cutoff choose(const float* scores, std::span<const int32_t> seen, int64_t top_k, int32_t* keys,
              std::vector<float>& spare);

// The same keys from the cutoff, at most n. Returns how many.
int64_t chosen_keys(const float* scores, std::span<const int32_t> seen, const Cutoff& cutoff, int64_t n, int32_t* keys);

// Throws std::invalid_argument unless each list [n] of `keys` is one key or more, ascending, in [0, t), and then -1.
// The lists come from the device: what reads by them begins with it.
void check_lists(const int32_t* keys, int64_t lists, int64_t n, int64_t t);

}  // namespace fathom
