#include "model/indexer.h"

#include <cmath>

#include "nn/layer_norm.h"
#include "nn/linear.h"

namespace fathom {
namespace {

// The rotated part comes first, its pairs in halves.
Value rotate_front(const LayerContext& c, Value x) {
  auto parts = split(x, "di", {c.config.rope_dim, c.config.indexer_dim - c.config.rope_dim});
  return concatenate({rotate_halves(parts[0], "di", c.rope), parts[1]}, "di");
}

}  // namespace

bool indexer_chooses(const ModelConfig& config, int64_t length) {
  return config.indexer && length > config.indexer_top_k;
}

IndexerInputs indexer_inputs(const LayerContext& c, const MlaWeights::Indexer& w, Value latent, Value x) {
  Scope scope(x.graph(), "indexer");
  const ModelConfig& m = c.config;
  latent = stop_gradient(latent);
  x = stop_gradient(x);
  Value q = rotate_front(c, linear(latent, w.wq_b, "r"));
  Value k = layer_norm(linear(x, w.wk, "d"), w.k_norm, w.k_norm_bias, "di", kIndexerNormEpsilon);
  k = rename(rotate_front(c, k), "s", "t");
  Value weights = linear(convert(x, DType::kF32), w.weights_proj, "d");
  const double scale = 1 / std::sqrt(static_cast<double>(m.indexer_heads * m.indexer_dim));
  return {.q = shard_activation(q), .k = k, .weights = weights * scale};
}

}  // namespace fathom
