#include "model/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "fused/gemv.h"
#include "fused/latent_attention.h"
#include "fused/rms_norm.h"
#include "graph/region_ops.h"
#include "model/indexer.h"
#include "model/mtp.h"
#include "nn/linear.h"
#include "nn/sparse_attention.h"

namespace fathom {
namespace {

// ---- what is kept ----

struct Leaf {
  std::string name;
  TensorType type;
};

std::vector<Leaf> leaves(const ModelConfig& m, const CacheShape& shape) {
  auto of = [&](const char* axis, int64_t size) {
    return TensorType{m.dtype, {{"b", shape.rows}, {"t", shape.length}, {axis, size}}};
  };
  std::vector<Leaf> out{{"kv", of("c", m.kv_rank)}, {"rotated", of("w", m.rope_dim)}};
  if (indexer_chooses(m, shape.length)) out.push_back({"index", of("di", m.indexer_dim)});
  return out;
}

// One layer's: the stacks of all layers, in the order of the leaves, and which layer it is.
struct LayerCache {
  std::vector<Value> stacks;  // [l b t ..]
  Value layer;                // s32

  enum Leaf : uint8_t { kKv, kRotated, kIndex };
  bool has_index() const { return stacks.size() > kIndex; }
  Value get(Leaf leaf) const { return dynamic_index(stacks[leaf], "l", layer); }  // [b t ..]
  LatentStacks latents() const { return {stacks[kKv], stacks[kRotated], layer}; }
  // The arrays [b t ..] of a layer that is in no stack.
  void give_back(std::span<Value> arrays) const {
    for (size_t i = 0; i < arrays.size(); ++i) arrays[i] = squeeze(stacks[i], "l");
  }
};

// A layer that is in no stack, from its arrays [b t ..].
LayerCache layer_alone(std::span<const Value> arrays) {
  LayerCache out{.stacks = {}, .layer = constant(arrays[0].graph(), 0, {DType::kS32, {}})};
  for (Value array : arrays) out.stacks.push_back(expand(array, "l"));
  return out;
}

// ---- attention ----

struct Tokens {
  CacheUse use = CacheUse::kStep;
  Value place;       // of CachedInputs; 0 where that has none
  Value places;      // [b s] s32, of every token
  int64_t seen = 0;  // places of the cache that are looked at; 0: all

  // x [b s ..] at the tokens' places. Each device of a mesh takes x as it has the cache: where norms split x, the
  // partitioner would else split the whole cache and gather it again.
  void put(LayerCache& cache, LayerCache::Leaf leaf, Value x) const {
    Value rows = rename(shard_activation(rename(x, "s", "t")), "t", "s");
    cache.stacks[leaf] = put_rows(cache.stacks[leaf], cache.layer, rows, place);
  }
};

// [b s t]: of `length` keys those that are not after the query.
Value keys_before(const Tokens& tokens, int64_t length) {
  const Shape& p = tokens.places.shape();
  const Shape all{p[0], p[1], {"t", length}};
  return less_equal(iota(tokens.places.graph(), DType::kS32, all, "t"), broadcast(tokens.places, all));
}

// The keys' half, or the values' half, of the expansion of latents, for the few rows of a step.
Value expanded(const ModelConfig& m, const MlaWeights& w, Value x, std::string_view summed, bool values) {
  const WeightPart part = values ? WeightPart{m.nope, m.value_dim} : WeightPart{0, m.nope};
  if (takes_gemv(x, w.wkv_b, summed)) return gemv(x, w.wkv_b, summed, part);
  return dot(x, convert(slice(w.wkv_b, "nu", part.first, part.first + part.count), x.dtype()), summed);
}

// Attention over the latents: with k = Wk kv and v = Wv kv the scores of a head are q . (Wk kv) = (q Wk) . kv, and its
// output is Wv (sum of weight x kv). Gives [b s h u].
Value over_latents(const ModelConfig& m, const MlaWeights& w, Value q, const LayerCache& cache, Value visible) {
  auto heads = split(q, "w", {m.nope, m.rope_dim});
  Value latent = transpose(expanded(m, w, rename(heads[0], "w", "nu"), "nu", false), "b s h c");
  Value out = latent_attention(latent, heads[1], cache.latents(), visible);
  return rename(expanded(m, w, out, "c", true), "nu", "u");
}

Value over_cache(const LayerContext& c, const MlaWeights& w, const Tokens& tokens, const Attended& own,
                 const LayerCache& cache) {
  const int64_t length = tokens.seen > 0 ? tokens.seen : cache.stacks[0].size("t");
  auto seen = [&](LayerCache::Leaf leaf) {
    Value all = cache.get(leaf);
    return length < all.size("t") ? slice(all, "t", 0, length) : all;
  };
  Value visible = keys_before(tokens, length);
  if (own.index && indexer_chooses(c.config, length)) {
    IndexerInputs index = *own.index;
    index.k = seen(LayerCache::kIndex);
    visible = choice_of(indexer_scores(index), visible, c.config.indexer_top_k);
  }
  if (tokens.use == CacheUse::kStep) return over_latents(c.config, w, own.queries.q, cache, visible);
  auto as_tokens = [&](LayerCache::Leaf leaf) { return rename(seen(leaf), "t", "s"); };
  auto [k, v] = mla_keys_values(c, w, {as_tokens(LayerCache::kKv), as_tokens(LayerCache::kRotated)});
  return plain_attention({own.queries.q, k, v, {}}, visible);
}

MlaOut cached_mla(const LayerContext& c, const MlaWeights& w, const Tokens& tokens, Value x, LayerCache& cache) {
  Scope scope(x.graph(), "mla");
  Attended own{.queries = mla_queries(c, w, x), .latent = mla_latent(c, w, x), .index = {}};
  tokens.put(cache, LayerCache::kKv, own.latent.kv);
  tokens.put(cache, LayerCache::kRotated, own.latent.rotated);
  if (cache.has_index()) {
    own.index = indexer_inputs(c, w.indexer, own.queries.latent, x);
    tokens.put(cache, LayerCache::kIndex, rename(own.index->k, "t", "s"));
  }
  if (tokens.use == CacheUse::kFirst) {
    if (!indexer_chooses(c.config, x.size("s"))) own.index.reset();
    return mla_among(c, w, own, false);
  }
  return {.y = linear(over_cache(c, w, tokens, own, cache), w.wo, "h u"), .beside = {}};
}

// ---- layers ----

using CachedLayer = std::function<Value(const LayerWeights&, Value x, LayerCache& cache)>;

// The arrays of a stack stay in the carry, where a layer's part is replaced in place: stacked up anew they would stand
// in memory twice.
Value scan_stack(const LayerStack& stack, Value x, std::span<Value> cache, const CachedLayer& layer) {
  std::vector<Value> init{x};
  init.insert(init.end(), cache.begin(), cache.end());
  auto body = [&](Value i, std::span<const Value> carry, std::span<const Value> slices) {
    LayerCache own{.stacks = {carry.begin() + 1, carry.end()}, .layer = i};
    ScanBody out{.carry = {layer(stack.bind(slices), carry[0], own)}, .stack = {}};
    out.carry.insert(out.carry.end(), own.stacks.begin(), own.stacks.end());
    return out;
  };
  auto done = scan(x.graph(), {.axis = "l", .length = stack.count()}, init, stack.stacked(), body);
  std::copy(done.carry.begin() + 1, done.carry.end(), cache.begin());
  return done.carry[0];
}

Value unroll_stack(const LayerStack& stack, Value x, std::span<Value> cache, const CachedLayer& layer) {
  const size_t each = cache.size() / static_cast<size_t>(stack.count());
  for (int64_t i = 0; i < stack.count(); ++i) {
    Scope scope(x.graph(), std::to_string(i));
    std::span<Value> arrays = cache.subspan(static_cast<size_t>(i) * each, each);
    LayerCache own = layer_alone(arrays);
    x = layer(stack.layer(i), x, own);
    own.give_back(arrays);
  }
  return x;
}

// [b s] s32.
Value places_of(CacheUse use, const CachedInputs& in) {
  const Shape& shape = in.tokens.shape();
  Value from_first = iota(in.tokens.graph(), DType::kS32, shape, "s");
  return use == CacheUse::kFirst ? from_first : from_first + broadcast(in.place, shape);
}

// What all layers of a program share.
struct Pass {
  ModelConfig model;
  Tokens tokens;
  LayerContext context;

  Pass(const ModelConfig& config, CacheUse use, const CachedInputs& in)
      : model(config),
        tokens{.use = use, .place = in.place, .places = places_of(use, in), .seen = in.places},
        context{model, rope_tables(tokens.places, config.rope), constant(in.tokens.graph(), 1, tokens.places.type())} {
    model.capacity_factor = model.exchange_factor = 0;  // no expert drops a token
    model.few_tokens = true;
    model.fp8 = false;  // that is how a step of training multiplies
    if (use == CacheUse::kFirst) tokens.place = constant(in.tokens.graph(), 0, {DType::kS32, {}});
  }
  Pass(const Pass&) = delete;  // the context refers to the model
  Pass& operator=(const Pass&) = delete;

  Value layer(const LayerWeights& weights, Value x, LayerCache& own) const {
    auto attention = [&](const MlaWeights& mla, Value y) { return cached_mla(context, mla, tokens, y, own); };
    return decoder_layer(context, weights, x, attention, false).x;
  }
};

}  // namespace

std::vector<CacheArray> cache_arrays(const ModelConfig& m, const CacheShape& shape) {
  std::vector<CacheArray> out;
  for (const Stack& stack : stacks(m)) {
    if (stack.prediction && !shape.predicts) continue;
    const bool stacked = m.scan_layers && !stack.prediction;
    for (int64_t i = 0; i < (stacked || stack.prediction ? 1 : stack.count); ++i) {
      for (const Leaf& leaf : leaves(m, shape)) {
        if (stacked) {
          std::vector<Axis> axes{{"l", stack.count}};
          axes.insert(axes.end(), leaf.type.shape.begin(), leaf.type.shape.end());
          out.push_back({fmt::format("{}.{}", stack.name, leaf.name), {leaf.type.dtype, Shape(axes)}});
        } else {
          out.push_back({fmt::format("{}.{}.{}", stack.name, i, leaf.name), leaf.type});
        }
      }
    }
  }
  return out;
}

CachedOut cached_decoder(const ModelConfig& m, const Weights& w, CacheUse use, const CachedInputs& in,
                         const std::vector<Value>& cache) {
  Graph& g = in.tokens.graph();
  Scope scope(g, "decoder");
  const Pass pass(m, use, in);
  CachedLayer layer = [&](const LayerWeights& weights, Value x, LayerCache& own) {
    return pass.layer(weights, x, own);
  };
  CachedOut out{.hidden = {}, .normed = {}, .cache = cache};
  Value x = shard_activation(embed(w.embedding, in.tokens, m.dtype));
  std::span<Value> rest(out.cache);
  const size_t each = leaves(m, {.rows = x.size("b"), .length = cache[0].size("t")}).size();
  for (const LayerStack& stack : w.stacks) {
    if (stack.info().prediction) continue;
    Scope inside(g, stack.info().layer_axis);
    const bool stacked = !stack.stacked().empty();
    const size_t count = stacked ? each : each * static_cast<size_t>(stack.count());
    x = (stacked ? scan_stack : unroll_stack)(stack, x, rest.first(count), layer);
    rest = rest.subspan(count);
  }
  out.hidden = x;
  out.normed = rms_norm(x, w.final_norm, "d", m.norm_epsilon);
  return out;
}

CachedOut cached_prediction(const ModelConfig& m, const Weights& w, CacheUse use, const CachedInputs& in,
                            const CachedOut& model) {
  const LayerStack& stack = w.stacks.back();
  if (!stack.info().prediction) throw GraphError("cached_prediction: the model has no module for prediction");
  Scope scope(in.tokens.graph(), stack.info().name);
  const Pass pass(m, use, in);
  const LayerWeights& own = stack.layer(0);
  CachedOut out{.hidden = {}, .normed = {}, .cache = model.cache};
  const size_t each = leaves(m, {.rows = in.tokens.size("b"), .length = out.cache[0].size("t")}).size();
  std::span<Value> kept = std::span(out.cache).last(each);
  LayerCache cache = layer_alone(kept);
  Value embedding = shard_activation(embed(w.embedding, in.tokens, m.dtype));
  out.hidden = pass.layer(own, joined(m, own, embedding, m.prediction_after_norm ? model.normed : model.hidden), cache);
  cache.give_back(kept);
  out.normed = rms_norm(out.hidden, m.prediction_own_norm ? own.final_norm : w.final_norm, "d", m.norm_epsilon);
  return out;
}

}  // namespace fathom
