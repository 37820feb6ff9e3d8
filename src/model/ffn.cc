#include "model/ffn.h"

#include <cstdint>
#include <limits>
#include <optional>

#include "fused/expert_output.h"
#include "fused/fp8_grouped.h"
#include "fused/gated_silu.h"
#include "fused/gathered_experts.h"
#include "fused/gemv.h"
#include "fused/moe_permute.h"
#include "fused/routed_experts.h"
#include "graph/partition.h"
#include "model/capacity.h"
#include "model/projection.h"
#include "nn/linear.h"

namespace fathom {
namespace {

// ---- routing ----

// [b s e] with -inf in all groups of experts but the best ones.
Value keep_best_groups(const ModelConfig& m, Value choice) {
  Value members = split_axis(choice, "e", {{"group", m.groups}, {"member", m.experts / m.groups}});
  Value rank = m.group_by_maximum ? reduce_max(members, "member")
                                  : reduce_sum(top_k(members, "member", 2, "best").values, "best");
  Value best = top_k(rank, "group", m.kept_groups, "kept").indices;
  Value kept = reduce_max(one_hot(best, {"group", m.groups}, DType::kS32), "kept");
  Value inside = broadcast(greater(kept, 0), members.shape());
  // -inf, not 0: scores with a bias can be negative.
  Value masked = select(inside, members, -std::numeric_limits<double>::infinity());
  return merge_axes(masked, "group member", "e");
}

// scores [b s e] at experts [b s k]: a sum with one term. Its derivative is a sum too, where a gather's is a scatter.
Value scores_of(Value scores, Value experts) {
  Value chosen = equal(one_hot(experts, {"e", scores.size("e")}, DType::kS32), 1);  // [b s k e]
  Value spread = broadcast(scores, chosen.shape());
  return reduce_sum(select(chosen, spread, 0), "e");
}

// ---- load ----

Value count_tokens(Value experts, int64_t count) {
  return reduce_sum(one_hot(experts, {"e", count}, DType::kS32), "b s k");
}

// experts [b s k] with -1, which is nobody's number, where segments [b s] is 0.
Value of_real_tokens(Value experts, Value segments) {
  return select(broadcast(not_equal(segments, 0), experts.shape()), experts, -1);
}

Value count_dropped(Value counted, Value kept) {
  Value dropped = logical_and(greater_equal(counted, 0), logical_not(kept));
  return reduce_sum(convert(dropped, DType::kS32), "");
}

// [b e]: the share of each row's choices that fell on an expert.
Value share_of_choices(const ModelConfig& m, Value experts) {
  return reduce_mean(reduce_sum(one_hot(experts, {"e", m.experts}, DType::kF32), "k") / m.top_k, "s");
}

// w E^2 mean over rows and experts of f P: f, the share of a row's choices that fell on e; P, the mean over the row of
// softmax(scores with bias)_e. This is what MaxText 0.2.5 computes in its dense path, and what is computed here in
// every form of the experts; in its grouped path MaxText leaves the bias out.
Value balance_loss(const ModelConfig& m, const Routing& r) {
  Value product = share_of_choices(m, r.experts) * reduce_mean(softmax(r.choice, "e"), "s");  // [b e]
  const double e = static_cast<double>(m.experts);
  return reduce_mean(product, "b e") * (m.load_balance_weight * e * e);
}

// V3 report, eq. 17-20, of each row: w sum over experts of f P with f = E / k times the share of the choices, made by
// the scores alone, without bias and groups; P the mean over the row of the scores divided by their sum. The layers'
// losses are added up, and the model takes their mean: so each is weighed by their number.
Value sequence_balance_loss(const ModelConfig& m, const Routing& r) {
  Value best = top_k(stop_gradient(r.scores), "e", m.top_k, "k").indices;
  Value normalised = r.scores / (reduce_sum(r.scores, "e") + 1e-20);
  Value product = share_of_choices(m, best) * reduce_mean(normalised, "s");  // [b e]
  const double e = static_cast<double>(m.experts), layers = static_cast<double>(m.moe_layers());
  return reduce_mean(product, "b e") * (m.load_balance_weight * e * e * layers);
}

// ---- experts ----

// The matrices in x's type, and their splits on the mesh.
ExpertMatrices matrices_on_mesh(const MlpWeights& w, DType dtype) {
  return {.w_gate = convert(w.w_gate, dtype),
          .w_up = convert(w.w_up, dtype),
          .w_down = convert(w.w_down, dtype),
          .gate_split = w.gate_split,
          .down_split = w.down_split};
}

// [b s e]: 0 where an expert was not chosen.
Value weights_of_all(const ModelConfig& m, const Routing& r) {
  Value chosen = one_hot(r.experts, {"e", m.experts}, DType::kF32);  // [b s k e]
  return reduce_sum(chosen * r.weights, "k");
}

// Every expert on every token; what was not chosen has weight 0. For small models and as a check of the grouped form.
Value dense_experts(const ModelConfig& m, const MlpWeights& w, Value x, const Routing& r) {
  Value gate = tag(shard_activation(projection(m, x, w.w_gate, "d", "e")), "moe_mlpwi_0");  // [b s e f]
  Value up = tag(shard_activation(projection(m, x, w.w_up, "d", "e")), "moe_mlpwi_1");
  Value hidden = gated_silu(gate, up, m.activations_in_float32);
  Value weighted = convert(convert(hidden, DType::kF32) * weights_of_all(m, r), x.dtype());
  return tag(projection(m, weighted, w.w_down, "e f", "e"), "moe_mlpwo");
}

// Tokens sorted by expert, so that each expert's rows lie together; dropless.
Value grouped_experts(const ModelConfig& m, const MlpWeights& w, Value x, const Routing& r) {
  Value load = count_tokens(r.experts, m.experts);
  Value tokens = merge_axes(x, "b s", "tok");
  Value experts = merge_axes(r.experts, "b s", "tok");  // [tok k]
  RowOrder order;
  order.slot_of_row = tag(argsort(merge_axes(experts, "tok k", "m"), "m"), "moe_routing_maps");
  Value inverse = tag(argsort(order.slot_of_row, "m"), "moe_routing_maps");
  order.row_of_slot = reshape(inverse, experts.shape());

  Value rows = tag(rows_of_tokens(tokens, order), "moe_x_sorted");  // [m d]
  const ExpertProducts products{m.fp8};
  Value gate = tag(products.matmul(rows, convert(w.w_gate, x.dtype()), load), "moe_mlpwi_0");
  Value up = tag(products.matmul(rows, convert(w.w_up, x.dtype()), load), "moe_mlpwi_1");
  Value y =
      tag(expert_output({gate, up, load, order}, convert(w.w_down, x.dtype()), merge_axes(r.weights, "b s", "tok"),
                        {.activations_in_float32 = m.activations_in_float32, .fp8 = m.fp8}),
          "moe_mlpwo");
  return split_axis(y, "tok", {x.shape()[0], x.shape()[1]});
}

// Of few tokens each choice by itself: only the matrices of chosen experts are read.
Value indexed_experts(const ModelConfig& m, const MlpWeights& w, Value x, const Routing& r) {
  Value rows = broadcast(x, Shape{x.shape()[0], x.shape()[1], r.experts.shape()[2], x.shape()[2]});  // [b s k d]
  Value gate = indexed_gemv(rows, w.w_gate, r.experts), up = indexed_gemv(rows, w.w_up, r.experts);  // [b s k f]
  Value made = indexed_gemv(gated_silu(gate, up, m.activations_in_float32), w.w_down, r.experts);    // [b s k d]
  return convert(reduce_sum(convert(made, DType::kF32) * r.weights, "k"), x.dtype());
}

// The first choices of each expert in each row, side by side; the later ones are dropped, and the weights of a token's
// other experts stay as they are.
Value capped_experts(const ModelConfig& m, const MlpWeights& w, Value x, const Routing& r, const KeptChoices& choices) {
  const Axis e{"e", m.experts}, c{"c", -1};
  // Rows are split over all devices, places by their expert too: between the two everything travels.
  Value places = shard_activation(split_axis(places_of_tokens(x, choices.map), "p", {e, c}));
  places = tag(places, "moe_x_sorted");                                                          // [b e c d]
  Value gate = tag(shard_activation(projection(m, places, w.w_gate, "d", "e")), "moe_mlpwi_0");  // [e b c f]
  Value up = tag(shard_activation(projection(m, places, w.w_up, "d", "e")), "moe_mlpwi_1");
  Value hidden = gated_silu(gate, up, m.activations_in_float32);
  Value made = tag(shard_activation(projection(m, hidden, w.w_down, "f", "e")), "moe_mlpwo");  // [e b c d]
  Value flat = shard_activation(merge_axes(transpose(made, "b e c d"), "e c", "p"));
  Value parts = convert(slots_of_places(flat, choices.map), DType::kF32) * r.weights;  // [b s k d]
  return convert(reduce_sum(parts, "k"), x.dtype());
}

enum class ExpertForm : uint8_t {
  kDense,      // every expert on every token
  kGathered,   // the same where the mesh splits the matrices' model dimension: gathered some experts at a time
  kGrouped,    // tokens sorted by expert
  kExchanged,  // the same on a mesh, where tokens travel to the devices of their experts
  kIndexed,    // each choice by itself: few tokens
  kCapped,     // each expert on so many of a row's tokens and no more
};

// Whether an expert meets few tokens, on average.
bool has_few_rows(const ModelConfig& m, Value x) {
  return x.size("b") * x.size("s") * m.top_k <= kFewRows / 2 * m.experts;
}

// `on_mesh`: the matrices, where there is a mesh.
ExpertForm expert_form(const ModelConfig& m, Value x, const std::optional<ExpertMatrices>& on_mesh) {
  if (m.few_tokens && !on_mesh && has_few_rows(m, x)) return ExpertForm::kIndexed;
  if (m.grouped) return on_mesh ? ExpertForm::kExchanged : ExpertForm::kGrouped;
  if (m.drops_tokens()) return ExpertForm::kCapped;
  const bool gathers = on_mesh && can_gather_experts(*x.graph().partition, x.shape(), *on_mesh);
  return gathers ? ExpertForm::kGathered : ExpertForm::kDense;
}

RoutedSum capped_sum(const ModelConfig& m, const MlpWeights& w, Value x, const Routing& r) {
  const int64_t capacity = expert_capacity(m, x.size("s"));
  if (capacity == 0) return {zeros_like(x), greater_equal(zeros_like(r.experts), 1)};
  const KeptChoices choices = keep_first(r.experts, m.experts, capacity);
  return {capped_experts(m, w, x, r, choices), choices.kept};
}

RoutedSum routed_sum(const ModelConfig& m, const MlpWeights& w, Value x, const Routing& r) {
  const ExpertOptions options{
      .activations_in_float32 = m.activations_in_float32, .factor = m.exchange_factor, .fp8 = m.fp8};
  std::optional<ExpertMatrices> on_mesh;
  if (x.graph().partition != nullptr) on_mesh = matrices_on_mesh(w, x.dtype());
  switch (expert_form(m, x, on_mesh)) {
    case ExpertForm::kDense:
      return {dense_experts(m, w, x, r), {}};
    case ExpertForm::kGathered:
      return {tag(gathered_experts(x, weights_of_all(m, r), *on_mesh, options), "moe_mlpwo"), {}};
    case ExpertForm::kGrouped:
      return {grouped_experts(m, w, x, r), {}};
    case ExpertForm::kIndexed:
      return {indexed_experts(m, w, x, r), {}};
    case ExpertForm::kExchanged: {
      const RoutedSum sum = routed_experts({x, r.experts, r.weights}, *on_mesh, options);
      return {tag(sum.y, "moe_mlpwo"), sum.kept};
    }
    case ExpertForm::kCapped:
      return capped_sum(m, w, x, r);
  }
  throw GraphError("an unknown form of the experts");
}

}  // namespace

Value gated_mlp(const ModelConfig& m, const MlpWeights& w, Value x) {
  Value gate = tag(shard_activation(projection(m, x, w.w_gate, "d")), "mlpwi_0");
  Value up = tag(shard_activation(projection(m, x, w.w_up, "d")), "mlpwi_1");
  Value hidden = gated_silu(gate, up, m.activations_in_float32);
  return tag(projection(m, hidden, w.w_down, "f"), "mlpwo");
}

Routing route(const ModelConfig& m, const MoeWeights& w, Value x) {
  Scope scope(x.graph(), "router");
  Value logits = linear(convert(x, DType::kF32), w.router, "d");
  Routing r;
  r.scores = m.sigmoid_scores ? logistic(logits) : softmax(logits, "e");
  r.choice = w.router_bias ? r.scores + convert(w.router_bias, DType::kF32) : r.scores;
  // No gradient passes through the choice (V3 report, eq. 16: the bias is for routing only).
  Value candidates = stop_gradient(r.choice);
  if (m.groups > 0) candidates = keep_best_groups(m, candidates);
  r.experts = top_k(candidates, "e", m.top_k, "k").indices;
  r.weights = scores_of(r.scores, r.experts);
  // Where a score is no number the choice is left to chance: that token's weights are NaN, so that the loss says it.
  r.weights = r.weights + stop_gradient(reduce_sum(r.choice * 0, "e"));
  if (m.renormalise) r.weights = r.weights / (reduce_sum(r.weights, "k") + 1e-20);
  if (m.routed_scaling_factor != 1) r.weights = r.weights * m.routed_scaling_factor;
  return r;
}

ValuesByName MoeOut::beside(bool capture) const {
  ValuesByName out;
  out.add("moe_lb_loss", balance_loss);
  out.add("load", load);
  out.add("dropped", dropped);
  if (!capture) return out;
  out.add("router.scores", routing.scores);
  out.add("router.experts", routing.experts);
  out.add("router.weights", routing.weights);
  return out;
}

MoeOut moe(const ModelConfig& m, const MoeWeights& w, Value x, Value segments) {
  Scope scope(x.graph(), "moe");
  MoeOut out;
  out.routing = route(m, w, x);
  Value counted = segments ? of_real_tokens(out.routing.experts, segments) : out.routing.experts;
  out.load = count_tokens(counted, m.experts);
  if (m.load_balance_weight > 0) {
    out.balance_loss = m.sequence_balance ? sequence_balance_loss(m, out.routing) : balance_loss(m, out.routing);
  }
  {
    Scope experts(x.graph(), "experts");
    RoutedSum routed = routed_sum(m, w.experts, x, out.routing);
    out.y = routed.y;
    if (routed.kept) out.dropped = count_dropped(counted, routed.kept);
    // Without an exchange there is no bound.
    if (m.drops_tokens() && !routed.kept) out.dropped = zeros(x.graph(), {DType::kS32, {}});
  }
  if (w.shared.w_gate) {
    Scope shared(x.graph(), "shared");
    out.y = out.y + gated_mlp(m, w.shared, x);
  }
  return out;
}

}  // namespace fathom
