#include "model/mla.h"

#include "fused/rms_norm.h"
#include "model/indexer.h"
#include "model/projection.h"
#include "nn/sparse_attention.h"

namespace fathom {
namespace {

// [b s h np] -> plain part, rotated part, in this order (rotated halves: rope.h).
std::vector<Value> split_head(Value x, int64_t nope, int64_t rest) { return split(x, "np", {nope, rest}); }

bool use_flash(const ModelConfig& m, int64_t length) {
  return m.flash || (m.autoselected && length > kPlainAttentionLength);
}

// Attention over all keys, or over those that the indexer chooses. The output is [.. h u].
Value attend(const LayerContext& c, const AttentionInputs& in) {
  if (!use_flash(c.config, in.q.size("s"))) return tag(plain_attention(in), "context");
  return flash_attention(in.q, in.k, in.v, in.segments);
}

Value attend_to_chosen(const LayerContext& c, const AttentionInputs& in, const IndexerInputs& index, bool capture,
                       ValuesByName& beside) {
  const ModelConfig& m = c.config;
  const bool blockwise = use_flash(m, in.q.size("s"));
  SparseOut out = sparse_attention(in, index,
                                   {.top_k = m.indexer_top_k,
                                    .blockwise = blockwise,
                                    .attends_to_all = m.indexer_attends_to_all,
                                    .loss = m.indexer_loss_weight > 0,
                                    .loss_over_all = m.indexer_warmup});
  if (out.loss) beside.add("indexer_loss", out.loss * m.indexer_loss_weight);
  if (capture) {
    Value scores = indexer_scores(index);
    Value visible = visible_keys(in.segments);
    beside.add("indexer.scores", select(visible, scores, 0));
    beside.add("indexer.mask", choice_of(scores, visible, m.indexer_top_k));
  }
  return blockwise ? out.context : tag(out.context, "context");
}

}  // namespace

Queries mla_queries(const LayerContext& c, const MlaWeights& w, Value x) {
  const ModelConfig& m = c.config;
  Queries out;
  Value q;
  if (m.q_rank == 0) {
    q = projection(m, x, w.wq, "d");
  } else {
    Value latent = tag(projection(m, x, w.wq_a, "d"), "query_wa_proj");
    out.latent = tag(rms_norm(latent, w.q_norm, "r", m.latent_norm_epsilon), "mla_q");
    q = projection(m, out.latent, w.wq_b, "r");
  }
  auto parts = split_head(q, m.nope, m.rope_dim);
  q = concatenate({parts[0], rotate_pairs(parts[1], "np", c.rope)}, "np");
  // The scale goes into the queries: one number a dimension instead of one a score.
  out.q = tag(shard_activation(rename(q * m.softmax_scale, "np", "w")), "query_proj");
  return out;
}

Latent mla_latent(const LayerContext& c, const MlaWeights& w, Value x) {
  const ModelConfig& m = c.config;
  auto parts = split(tag(projection(m, x, w.wkv_a, "d"), "kv_wa_proj"), "cp", {m.kv_rank, m.rope_dim});
  return {.kv = tag(rms_norm(rename(parts[0], "cp", "c"), w.kv_norm, "c", m.latent_norm_epsilon), "mla_kv"),
          .rotated = rotate_pairs(rename(parts[1], "cp", "w"), "w", c.rope)};
}

KeysValues mla_keys_values(const LayerContext& c, const MlaWeights& w, const Latent& latent) {
  const ModelConfig& m = c.config;
  Value kv = tag(shard_activation(projection(m, latent.kv, w.wkv_b, "c")), "kv_proj");  // [b s h nu]
  auto heads = split(kv, "nu", {m.nope, m.value_dim});
  Value plain = rename(heads[0], "nu", "w");
  std::vector<Axis> shared = plain.shape().axes();
  shared.back().size = m.rope_dim;
  Value k = concatenate({plain, broadcast(latent.rotated, Shape(shared))}, "w");
  return {tag(rename(k, "s", "t"), "key_proj"), tag(rename(rename(heads[1], "nu", "u"), "s", "t"), "value_proj")};
}

MlaOut mla_among(const LayerContext& c, const MlaWeights& w, const Attended& tokens, bool capture) {
  auto [k, v] = mla_keys_values(c, w, tokens.latent);
  AttentionInputs in{tokens.queries.q, k, v, c.segments};
  MlaOut out;
  Value context = tokens.index ? attend_to_chosen(c, in, *tokens.index, capture, out.beside) : attend(c, in);
  out.y = tag(projection(c.config, tag(context, "attention_out"), w.wo, "h u"), "out_proj");
  return out;
}

MlaOut mla(const LayerContext& c, const MlaWeights& w, Value x, bool capture) {
  Scope scope(x.graph(), "mla");
  Attended tokens{.queries = mla_queries(c, w, x), .latent = mla_latent(c, w, x), .index = {}};
  if (indexer_chooses(c.config, x.size("s"))) tokens.index = indexer_inputs(c, w.indexer, tokens.queries.latent, x);
  return mla_among(c, w, tokens, capture);
}

}  // namespace fathom
