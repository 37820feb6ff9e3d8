#include "model/decoder.h"

#include "fused/rms_norm.h"
#include "graph/region_ops.h"
#include "nn/linear.h"

namespace fathom {
namespace {

using LayerFunction = std::function<LayerOut(const LayerWeights&, Value)>;

// The aux values that are there, and back.
std::vector<Value> pack(const LayerAux& aux) {
  std::vector<Value> out;
  for (auto member : LayerAux::members()) {
    if (aux.*member) out.push_back(aux.*member);
  }
  return out;
}

LayerAux unpack(const LayerAux& like, std::span<const Value> values) {
  LayerAux out;
  size_t i = 0;
  for (auto member : LayerAux::members()) {
    if (like.*member) out.*member = values[i++];
  }
  return out;
}

// The layer as a remat region.
LayerFunction with_remat(LayerFunction layer, const std::set<std::string>& saved) {
  return [layer = std::move(layer), saved](const LayerWeights& w, Value x) {
    LayerAux like;
    auto results = remat(x.graph(), saved, [&] {
      LayerOut out = layer(w, x);
      like = out.aux;
      std::vector<Value> all = pack(out.aux);
      all.insert(all.begin(), out.x);
      return all;
    });
    return LayerOut{results[0], unpack(like, std::span(results).subspan(1))};
  };
}

LayerOut scan_stack(const LayerStack& stack, Value x, const LayerFunction& layer) {
  LayerAux like;
  auto done = scan(x.graph(), {.axis = "l", .length = stack.count()}, {x}, stack.stacked(),
                   [&](Value, std::span<const Value> carry, std::span<const Value> slices) {
                     LayerOut out = layer(stack.bind(slices), carry[0]);
                     like = out.aux;
                     return ScanBody{.carry = {out.x}, .stack = pack(out.aux)};
                   });
  return {done.carry[0], unpack(like, done.stack)};
}

LayerOut unroll_stack(const LayerStack& stack, Value x, const LayerFunction& layer) {
  LayerAux like;
  std::vector<std::vector<Value>> parts;  // of each aux value, one a layer
  for (int64_t i = 0; i < stack.count(); ++i) {
    Scope scope(x.graph(), std::to_string(i));
    LayerOut out = layer(stack.layer(i), x);
    x = out.x;
    like = out.aux;
    std::vector<Value> values = pack(out.aux);
    parts.resize(values.size());
    for (size_t k = 0; k < values.size(); ++k) parts[k].push_back(expand(values[k], "l"));
  }
  std::vector<Value> stacked;
  for (auto& part : parts) stacked.push_back(concatenate(part, "l"));
  return {x, unpack(like, stacked)};
}

LayerOut run_stack(const LayerStack& stack, std::string_view name, Value x, const LayerFunction& layer) {
  if (stack.count() == 0) return {x, {}};
  Scope scope(x.graph(), name);
  return stack.stacked().empty() ? unroll_stack(stack, x, layer) : scan_stack(stack, x, layer);
}

}  // namespace

LayerOut decoder_layer(const LayerContext& c, const LayerWeights& w, Value x, bool capture) {
  const double epsilon = c.config.norm_epsilon;
  LayerOut out;
  x = tag(shard_activation(x), "decoder_layer_input");
  Value attended = mla(c, w.mla, rms_norm(x, w.pre_norm, "d", epsilon));
  Value h = x + attended;
  Value y = rms_norm(h, w.post_norm, "d", epsilon);
  if (w.mlp.w_gate) {
    Scope scope(x.graph(), "mlp");
    y = gated_mlp(c.config, w.mlp, y);
  } else {
    MoeOut routed = moe(c.config, w.moe, y);
    y = routed.y;
    out.aux = {.balance_loss = routed.balance_loss, .load = routed.load};
    if (capture) {
      out.aux.scores = routed.routing.scores;
      out.aux.experts = routed.routing.experts;
      out.aux.weights = routed.routing.weights;
    }
  }
  out.x = shard_activation(h + y);
  if (capture) {
    out.aux.self_attn = attended;
    out.aux.mlp = y;
    out.aux.out = out.x;
  }
  return out;
}

Value logits_head(const ModelConfig& m, Value logits_weight, Value x) {
  Scope scope(x.graph(), "logits");
  if (m.logits_dot_in_float32) x = convert(x, DType::kF32);
  // Sums are float32 in any case: asked for float32 logits, there is no need to round them in between.
  DType out = m.logits_in_float32 ? DType::kF32 : x.dtype();
  return shard_activation(dot(x, convert(logits_weight, x.dtype()), "d", {.out = out}));
}

ModelOut decoder(const ModelConfig& m, const Weights& w, const ModelInputs& in, const ModelOptions& options) {
  Scope scope(in.tokens.graph(), "decoder");
  LayerContext context{m, rope_tables(in.positions, m.rope), in.segments};
  LayerFunction layer = [&](const LayerWeights& weights, Value x) {
    return decoder_layer(context, weights, x, options.capture);
  };
  if (options.remat_saved) layer = with_remat(layer, *options.remat_saved);

  ModelOut out;
  out.embedding = shard_activation(embed(w.embedding, in.tokens, m.dtype));
  LayerOut dense = run_stack(w.dense, "dense_layers", out.embedding, layer);
  LayerOut moe = run_stack(w.moe, "moe_layers", dense.x, layer);
  out.dense = dense.aux;
  out.moe = moe.aux;
  if (moe.aux.balance_loss) out.balance_loss = reduce_mean(moe.aux.balance_loss, "l");
  out.hidden = moe.x;
  out.normed = rms_norm(out.hidden, w.final_norm, "d", m.norm_epsilon);
  if (options.logits) out.logits = logits_head(m, w.logits, out.normed);
  return out;
}

}  // namespace fathom
