#include "model/decoder.h"

#include "fused/rms_norm.h"
#include "graph/region_ops.h"
#include "metrics/step_scalars.h"
#include "model/mtp.h"
#include "nn/linear.h"

namespace fathom {
namespace {

using LayerFunction = std::function<LayerOut(const LayerWeights&, Value)>;

// The layer as a remat region.
LayerFunction with_remat(LayerFunction layer, const std::set<std::string>& saved) {
  return [layer = std::move(layer), saved](const LayerWeights& w, Value x) {
    ValuesByName beside;
    auto results = remat(x.graph(), saved, [&] {
      LayerOut out = layer(w, x);
      beside = out.beside;
      std::vector<Value> all = beside.values();
      all.insert(all.begin(), out.x);
      return all;
    });
    return LayerOut{results[0], beside.with(std::span(results).subspan(1))};
  };
}

LayerOut scan_stack(const LayerStack& stack, Value x, const LayerFunction& layer) {
  ValuesByName beside;
  auto done = scan(x.graph(), {.axis = "l", .length = stack.count()}, {x}, stack.stacked(),
                   [&](Value, std::span<const Value> carry, std::span<const Value> slices) {
                     LayerOut out = layer(stack.bind(slices), carry[0]);
                     beside = out.beside;
                     return ScanBody{.carry = {out.x}, .stack = beside.values()};
                   });
  return {done.carry[0], beside.with(done.stack)};
}

LayerOut unroll_stack(const LayerStack& stack, Value x, const LayerFunction& layer) {
  ValuesByName beside;
  std::vector<std::vector<Value>> parts;  // of each value beside the output, one a layer
  for (int64_t i = 0; i < stack.count(); ++i) {
    Scope scope(x.graph(), std::to_string(i));
    LayerOut out = layer(stack.layer(i), x);
    x = out.x;
    beside = out.beside;
    std::vector<Value> values = beside.values();
    parts.resize(values.size());
    for (size_t k = 0; k < values.size(); ++k) parts[k].push_back(expand(values[k], "l"));
  }
  std::vector<Value> stacked;
  for (auto& part : parts) stacked.push_back(concatenate(part, "l"));
  return {x, beside.with(stacked)};
}

LayerOut run_stack(const LayerStack& stack, Value x, const LayerFunction& layer) {
  Scope scope(x.graph(), stack.info().layer_axis);
  return stack.stacked().empty() ? unroll_stack(stack, x, layer) : scan_stack(stack, x, layer);
}

// The modules behind the model. Each reads the tokens one place further on, at the places of the model.
void run_modules(const ModelConfig& m, const Weights& w, const LayerStack& stack, const ModelInputs& in,
                 const LayerFunction& layer, ModelOut& out) {
  Value tokens = in.tokens;
  Value before = m.prediction_after_norm ? out.normed : out.hidden;
  auto module = [&](const LayerWeights& own, Value) {
    tokens = next_in_document(tokens, in.segments);
    Value embedding = shard_activation(embed(w.embedding, tokens, m.dtype));
    LayerOut done = layer(own, joined(m, own, embedding, before));
    Value normed = rms_norm(done.x, m.prediction_own_norm ? own.final_norm : w.final_norm, "d", m.norm_epsilon);
    out.predictions.push_back(normed);
    before = m.prediction_after_norm ? normed : done.x;
    return done;
  };
  Scope scope(tokens.graph(), stack.info().name);
  out.stacks.push_back({stack.info(), unroll_stack(stack, before, module).beside});
}

// The scalars that the layers of all stacks give for one row, as one.
Value over_layers(const StepScalar& row, const std::vector<StackOut>& stacks) {
  std::vector<Value> parts;
  for (const StackOut& stack : stacks) {
    if (Value v = stack.beside.find(row.name)) parts.push_back(v);
  }
  if (parts.empty()) return {};
  return reduce_mean(parts.size() == 1 ? parts[0] : concatenate(parts, "l"), "l");
}

}  // namespace

LayerOut decoder_layer(const LayerContext& c, const LayerWeights& w, Value x, const Attention& attention,
                       bool capture) {
  const double epsilon = c.config.norm_epsilon;
  LayerOut out;
  x = tag(shard_activation(x), "decoder_layer_input");
  MlaOut attended = attention(w.mla, rms_norm(x, w.pre_norm, "d", epsilon));
  out.beside = attended.beside;
  Value h = x + attended.y;
  Value y = rms_norm(h, w.post_norm, "d", epsilon);
  if (w.mlp.w_gate) {
    Scope scope(x.graph(), "mlp");
    y = gated_mlp(c.config, w.mlp, y);
  } else {
    MoeOut routed = moe(c.config, w.moe, y, c.config.counts_padding ? Value() : c.segments);
    y = routed.y;
    out.beside.add_all(routed.beside(capture));
  }
  out.x = shard_activation(h + y);
  if (!capture) return out;
  out.beside.add("self_attn", attended.y);
  out.beside.add("mlp", y);
  out.beside.add("out", out.x);
  return out;
}

Value logits_head(const ModelConfig& m, Value logits_weight, Value x) {
  Scope scope(x.graph(), "logits");
  if (m.logits_dot_in_float32) x = convert(x, DType::kF32);
  // Sums are float32 in any case: asked for float32 logits, there is no need to round them in between.
  DType out = m.logits_in_float32 ? DType::kF32 : x.dtype();
  return shard_activation(linear(x, logits_weight, "d", out));
}

ModelOut decoder(const ModelConfig& m, const Weights& w, const ModelInputs& in, const ModelOptions& options) {
  Scope scope(in.tokens.graph(), "decoder");
  LayerContext context{m, rope_tables(in.positions, m.rope), in.segments};
  LayerFunction layer = [&](const LayerWeights& weights, Value x) {
    auto attention = [&](const MlaWeights& own, Value y) { return mla(context, own, y, options.capture); };
    LayerOut out = decoder_layer(context, weights, x, attention, options.capture);
    if (options.in_layer) out.beside.add_all(options.in_layer(weights, out));
    return out;
  };
  if (options.remat_saved) layer = with_remat(layer, *options.remat_saved);

  ModelOut out;
  out.embedding = shard_activation(embed(w.embedding, in.tokens, m.dtype));
  Value x = out.embedding;
  for (const LayerStack& stack : w.stacks) {
    if (stack.info().prediction) continue;
    LayerOut done = run_stack(stack, x, layer);
    x = done.x;
    out.stacks.push_back({stack.info(), std::move(done.beside)});
  }
  out.hidden = x;
  out.normed = rms_norm(out.hidden, w.final_norm, "d", m.norm_epsilon);
  for (const LayerStack& stack : w.stacks) {
    if (options.predictions && stack.info().prediction) run_modules(m, w, stack, in, layer, out);
  }
  for (const StepScalar& row : kStepScalars) {
    if (row.layers != OverLayers::kNone) out.losses.add(row.name, over_layers(row, out.stacks));
  }
  if (options.logits) out.logits = logits_head(m, w.logits, out.normed);
  return out;
}

}  // namespace fathom
