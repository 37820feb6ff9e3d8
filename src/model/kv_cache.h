// The model over tokens whose predecessors stand in a cache: not keys and values of all heads but the latent that they
// come from (V2 report, section 2.1.2), and the indexer's keys beside it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/decoder.h"

namespace fathom {

// Rows, and tokens that each has room for.
struct CacheShape {
  int64_t rows = 0;
  int64_t length = 0;
  bool predicts = false;  // whether the first module for multi-token prediction keeps its tokens too
};

// One array of the cache: of a stack with the layer axis "l" in front (scan_layers), or of a layer.
struct CacheArray {
  std::string name;  // "decoder.moe_layers.kv", "decoder.moe_layers.3.kv"
  TensorType type;   // [b t ..], in the type of activations
};
// All that the model keeps, in the order of its layers, a module for prediction last; of each
//   kv       [b t c]   the latents, normalised
//   rotated  [b t w]   the rotated part of the key, one for all heads
//   index    [b t di]  the indexer's key, where the cache is long enough for the indexer to choose
std::vector<CacheArray> cache_arrays(const ModelConfig& config, const CacheShape& shape);

// Which tokens a program takes.
enum class CacheUse : uint8_t {
  kFirst,     // the first ones of all rows: attention among themselves
  kContinue,  // the next ones of all rows, which have equally many before them: over keys and values made anew of all
              // latents
  kStep,      // the next one or few of each row, whose places differ: over the latents themselves, the projections that
              // would make keys and values of them going into queries and outputs
};

struct CachedInputs {
  Value tokens;  // [b s]
  // Where they go: s32, of the first token of all rows (kContinue; kFirst has none), or [b] of each row's (kStep).
  Value place;
  // How many places of the cache they may attend to (kContinue); 0: all. Their own are among them.
  int64_t places = 0;
};

struct CachedOut {
  Value hidden;              // [b s d], after the last layer
  Value normed;              // [b s d], after the final norm
  std::vector<Value> cache;  // as cache_arrays(), with the tokens in it
};
// `cache`: the values of cache_arrays(). What stands in it behind a row's tokens is never attended to, but finite. No
// expert drops a token.
CachedOut cached_decoder(const ModelConfig& config, const Weights& weights, CacheUse use, const CachedInputs& inputs,
                         const std::vector<Value>& cache);

// The first module for multi-token prediction over the tokens that `model` is of. `inputs` has their places, and as
// tokens those one place further on. The cache that it gives is the model's, with the module's own arrays.
CachedOut cached_prediction(const ModelConfig& config, const Weights& weights, CacheUse use, const CachedInputs& inputs,
                            const CachedOut& model);

}  // namespace fathom
