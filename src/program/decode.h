// The programs that decode, and the cache that they keep on the devices between them.
#pragma once

#include <vector>

#include "model/kv_cache.h"
#include "program/programs.h"

namespace fathom {

// The state's list as these programs take it: on a mesh that splits the length of rows too, no row is split.
StateSpec decode_spec(const Config& config, const StateSpec& training);

// The arrays of a cache, "cache.decoder.moe_layers.kv": arguments that every program here donates to the result of the
// same name. They begin as zeros. `spec` as decode_spec() gives it, here and below.
std::vector<ArgSpec> cache_arguments(const StateSpec& spec, const CacheShape& shape);

struct PrefillOptions {
  int64_t length = 0;   // tokens of each row, padding on the right included
  bool first = true;    // whether no token of the rows is in the cache
  bool logits = false;  // whether logits are wanted
};

// Tokens of all rows at equal places; the cache has room for all of them.
//   takes: parameters, the cache, inputs s32 [b s], place s32 (of the first; unless that is 0), last s32 [b]: of each
//          row the index among these tokens whose logits are wanted.
//   gives: token s32 [b], their argmax; logits f32 [b v]; the cache.
Program prefill(const Config& config, const StateSpec& spec, const CacheShape& cache, const PrefillOptions& options);

// One more token of each row.
//   takes: parameters, the cache, inputs s32 [b 1], place s32 [b]: how many tokens the row has before.
//   gives: as prefill.
Program decode_step(const Config& config, const StateSpec& spec, const CacheShape& cache, bool logits = false);

}  // namespace fathom
