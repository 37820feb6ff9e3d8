// The programs that decode, and the cache that they keep on the devices between them.
#pragma once

#include <vector>

#include "model/kv_cache.h"
#include "program/programs.h"

namespace fathom {

// How many modules for multi-token prediction decoding takes.
int64_t drafting_modules(const Config& config);

// The configuration with rules by which decoding splits parameters: the narrow projections and the router, which
// training repeats on the devices that split heads, are split along the hidden state there, as their input is.
Config split_for_decoding(Config config);

// The state's list as these programs take it: on a mesh that splits the length of rows too, no row is split.
StateSpec decode_spec(const Config& config, const StateSpec& training);

// What is decoded at once.
struct DecodeSizes {
  int64_t prompts = 1;  // that run beside each other; the mesh may need more rows
  int64_t longest = 1;  // tokens of a prompt
  int64_t length = 1;   // of a prompt and what follows it
  int64_t piece = 0;    // of a prompt, which longer ones are taken in; 0: kPrefillPiece
  bool drafts = false;  // whether a module for prediction guesses tokens
};

// Up to so many tokens a prompt is taken in one piece.
inline constexpr int64_t kPrefillPiece = 2048;

// Tokens of a piece of a prompt at most, by the keys.
int64_t prefill_piece(const Config& config);

struct DecodeShape {
  CacheShape cache;
  int64_t piece = 0;   // tokens of a prefill
  int64_t pieces = 1;  // of the longest prompt
};
DecodeShape decode_shape(const StateSpec& spec, const DecodeSizes& sizes);

// The most prompts that so many devices decode beside each other: per_device_batch_size of each, and one at least.
int64_t prompts_at_once(const Config& config, int64_t devices);

// The arrays of a cache, "cache.decoder.moe_layers.kv": arguments that every program here donates to the result of the
// same name. They begin as zeros. `spec` as decode_spec() gives it, here and below.
std::vector<ArgSpec> cache_arguments(const StateSpec& spec, const CacheShape& shape);

struct PrefillOptions {
  int64_t length = 0;   // tokens of each row, padding on the right included
  bool first = true;    // whether no token of the rows is in the cache
  int64_t places = 0;   // of the cache that are looked at, these tokens' own among them, unless `first`; 0: all
  bool logits = false;  // whether logits are wanted
};

// Tokens of all rows at equal places; the cache has room for all of them.
//   takes: parameters, the cache, inputs s32 [b s], place s32 (of the first; unless that is 0), last s32 [b]: of each
//          row the index among these tokens whose logits are wanted.
//   gives: token s32 [b], their argmax; logits f32 [b v]; the cache.
// Where the cache has arrays of a module for prediction:
//   takes: next s32 [b s], the tokens one place further on; -1 where that is the token it gives.
//   gives: draft s32 [b], the module's guess of the token behind `token`.
Program prefill(const Config& config, const StateSpec& spec, const CacheShape& cache, const PrefillOptions& options);

// One more token of each row.
//   takes: parameters, the cache, inputs s32 [b 1], place s32 [b]: how many tokens the row has before.
//   gives: as prefill.
Program decode_step(const Config& config, const StateSpec& spec, const CacheShape& cache, bool logits = false);

// One or two more tokens of each row, over a cache with arrays of a module for prediction.
//   takes: parameters, the cache, inputs s32 [b 2]: a row's last token and the guess of the one behind it; place s32
//          [b]: how many tokens the row has before these.
//   gives: token s32 [b 2]: what follows each of the two, the second where the guess is the first; draft s32 [b], the
//          guess of what follows the last of those that count; the cache. What a wrong guess left there is behind the
//          row's tokens.
Program draft_step(const Config& config, const StateSpec& spec, const CacheShape& cache);

}  // namespace fathom
