#include "model/mla.h"

#include <fmt/format.h>

#include "fused/rms_norm.h"
#include "nn/attention.h"
#include "nn/linear.h"

namespace fathom {
namespace {

// [b s h np] -> plain part, rotated part, in this order (rotated halves: rope.h).
std::vector<Value> split_head(Value x, int64_t nope, int64_t rest) { return split(x, "np", {nope, rest}); }

Value queries(const LayerContext& c, const MlaWeights& w, Value x) {
  const ModelConfig& m = c.config;
  Value q;
  if (m.q_rank == 0) {
    q = linear(x, w.wq, "d");
  } else {
    Value latent = tag(linear(x, w.wq_a, "d"), "query_wa_proj");
    latent = tag(rms_norm(latent, w.q_norm, "r", m.latent_norm_epsilon), "mla_q");
    q = linear(latent, w.wq_b, "r");
  }
  auto parts = split_head(q, m.nope, m.rope_dim);
  q = concatenate({parts[0], rotate_pairs(parts[1], "np", c.rope)}, "np");
  // The scale goes into the queries: one number a dimension instead of one a score.
  return tag(shard_activation(rename(q * m.softmax_scale, "np", "w")), "query_proj");
}

struct KeysValues {
  Value k, v;  // [b t h w], [b t h u]
};

KeysValues keys_values(const LayerContext& c, const MlaWeights& w, Value x) {
  const ModelConfig& m = c.config;
  auto parts = split(tag(linear(x, w.wkv_a, "d"), "kv_wa_proj"), "cp", {m.kv_rank, m.rope_dim});
  Value latent = tag(rms_norm(rename(parts[0], "cp", "c"), w.kv_norm, "c", m.latent_norm_epsilon), "mla_kv");
  Value rotated = rotate_pairs(rename(parts[1], "cp", "w"), "w", c.rope);     // [b s w], one for all heads
  Value kv = tag(shard_activation(linear(latent, w.wkv_b, "c")), "kv_proj");  // [b s h nu]
  auto heads = split(kv, "nu", {m.nope, m.value_dim});
  Value plain = rename(heads[0], "nu", "w");
  std::vector<Axis> shared = plain.shape().axes();
  shared.back().size = m.rope_dim;
  Value k = concatenate({plain, broadcast(rotated, Shape(shared))}, "w");
  return {tag(rename(k, "s", "t"), "key_proj"), tag(rename(rename(heads[1], "nu", "u"), "s", "t"), "value_proj")};
}

bool use_flash(const ModelConfig& m, int64_t length) {
  return m.flash || (m.autoselected && length > kPlainAttentionLength);
}

}  // namespace

Value mla(const LayerContext& c, const MlaWeights& w, Value x) {
  Scope scope(x.graph(), "mla");
  const ModelConfig& m = c.config;
  const int64_t length = x.size("s");
  if (m.indexer && length > m.indexer_top_k) {
    throw GraphError(
        fmt::format("use_indexer=true with {} tokens a row and indexer_topk={}: sparse attention is not "
                    "built; rows of at most indexer_topk tokens need none",
                    length, m.indexer_top_k));
  }
  Value q = queries(c, w, x);
  auto [k, v] = keys_values(c, w, x);
  AttentionInputs in{q, k, v, c.segments};
  Value context = use_flash(m, length) ? blockwise_attention(in) : tag(plain_attention(in), "context");
  return tag(linear(tag(context, "attention_out"), w.wo, "h u"), "out_proj");
}

}  // namespace fathom
