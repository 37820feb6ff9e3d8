#include "fused/routed_experts.h"

#include "fused/derivative.h"
#include "fused/expert_chunks.h"
#include "fused/expert_exchange.h"
#include "fused/fp8_grouped.h"
#include "fused/gated_silu.h"
#include "graph/manual.h"

namespace fathom {
namespace {

// Operands of both ops: x [b s d], experts [b s k], weights [b s k], w_gate [e f d], w_up [e f d], w_down [e d f]; the
// derivative adds dy [b s d].
constexpr ExpertOp::Choice kChoices[] = {{"b s k", DType::kS32}, {"b s k", DType::kF32}};
constexpr int kHasGradient[] = {0, 2, 3, 4, 5};
constexpr ExpertOp kExperts{.takes =
                                "routed_experts takes x [b s d], s32 experts and f32 weights [b s k], w_gate and "
                                "w_up [e f d], w_down [e d f], all but the choice of one type",
                            .choices = kChoices,
                            .has_gradient = kHasGradient};

double factor_of(const FusedAttrs& attrs) { return attrs.reals.at(0); }
bool is_bounded(const FusedAttrs& attrs) { return factor_of(attrs) > 0; }

// y, and with a bound which choices are kept.
std::vector<TensorType> infer_forward(const InferContext& c) {
  std::vector<TensorType> out = kExperts.infer_forward(c);
  if (is_bounded(c.attr<FusedAttrs>())) out.push_back({DType::kBool, c.type(1).shape});
  return out;
}
std::vector<TensorType> infer_grad(const InferContext& c) { return kExperts.infer_grad(c); }

// ---- the work of one device ----

// The matrices w_gate, w_up, w_down of some experts with their model dimension whole.
std::vector<Value> gathered(const ExpertSpread& over, std::vector<Value> matrices) {
  for (Value& w : matrices) w = all_gather(w, "d", over.model);
  return matrices;
}

struct Activated {
  Value gate, up, hidden;  // [m f]
};

Activated activate(const FusedAttrs& attrs, const ExpertRows& in) {
  const std::vector<Value>& w = in.matrices;
  const ExpertProducts products{in_fp8(attrs)};
  Value gate = products.matmul(in.rows[0], w[0], in.sizes), up = products.matmul(in.rows[0], w[1], in.sizes);
  return {gate, up, gated_silu(gate, up, in_float32(attrs))};
}

// Rows [m d] -> their experts' outputs [m d].
ChunkResults forward_of(const FusedAttrs& attrs, const ExpertRows& in) {
  const ExpertProducts products{in_fp8(attrs)};
  return {.rows = {products.matmul(activate(attrs, in).hidden, in.matrices[2], in.sizes)}, .matrices = {}};
}

// Without what the forward pass and the derivative do on the rows.
ChunkWork work_on(const FusedAttrs& attrs, const ExpertPlan& plan, const ExpertSpread& over,
                  std::span<const Value> in) {
  return {.rows = plan.rows(),
          .sizes = plan.sizes(),
          .matrices = {in[3], in[4], in[5]},
          .gather = [&over](std::vector<Value> m) { return gathered(over, std::move(m)); },
          .scatter = [&over](Value d) { return reduce_scatter(d, "d", over.model); },
          .most_rows = attrs.ints.at(2)};
}

std::vector<Value> forward_here(const FusedAttrs& attrs, const ExpertPlan& plan, const ExpertSpread& over,
                                std::span<const Value> in) {
  Value x = plan.send(in[0]);
  ChunkWork all = work_on(attrs, plan, over, in);
  all.rows_at = [&](Value begin, int64_t count) { return std::vector<Value>{plan.rows_of(x, begin, count)}; };
  all.work = [&](const ExpertRows& part) { return forward_of(attrs, part); };
  all.row_results = {{x.dtype(), Shape{all.rows, in[0].shape()[2]}}};
  ChunkResults out = by_chunks(all, over.at_once);
  std::vector<Value> y{all_reduce(plan.collect(plan.sum_of_rows(out.rows[0], true), in[0].dtype()), over.width)};
  if (!is_bounded(attrs)) return y;
  Value kept = plan.kept();
  y.push_back(kept ? kept : greater_equal(in[1], 0));
  return y;
}

// With h = silu(g) u and y = sum over experts of weight * (h Wd^T), of a row of a token:
//   dh = weight dy Wd,  dweight = <dy, h Wd^T> = <dy Wd, h>,  dWd = (weight dy)^T h,  dx = dg Wg + du Wu
// Rows are x [m d], dy [m d] and weight [m] f32; row-wise results dx [m d] and dweight [m].
ChunkResults grad_of(const FusedAttrs& attrs, const ExpertRows& in) {
  const Value &rows = in.rows[0], &d_rows = in.rows[1], &weight = in.rows[2], &sizes = in.sizes;
  const ExpertProducts products{in_fp8(attrs)};
  DType dtype = rows.dtype();
  const std::vector<Value>& w = in.matrices;
  Activated h = activate(attrs, in);

  Value unscaled = products.matmul(d_rows, w[2], sizes, true);                                        // dy Wd [m f]
  Value d_weight = reduce_sum(convert(unscaled, DType::kF32) * convert(h.hidden, DType::kF32), "f");  // [m]
  Value d_hidden = convert(unscaled, DType::kF32) * weight;
  Value scaled = convert(convert(h.hidden, DType::kF32) * weight, dtype);
  Value d_down = products.outer(d_rows, scaled, sizes);

  auto [d_gate, d_up] = gated_silu_grad(h.gate, h.up, d_hidden, in_float32(attrs));
  Value d_w_gate = products.outer(d_gate, rows, sizes);
  Value d_w_up = products.outer(d_up, rows, sizes);
  Value d_x = products.matmul(d_gate, w[0], sizes, true) + products.matmul(d_up, w[1], sizes, true);
  return {.rows = {d_x, d_weight}, .matrices = {d_w_gate, d_w_up, d_down}};
}

std::vector<Value> grad_here(const FusedAttrs& attrs, const ExpertPlan& plan, const ExpertSpread& over,
                             std::span<const Value> in) {
  Value x = plan.send(in[0]), dy = plan.send(in[6]);
  ChunkWork all = work_on(attrs, plan, over, in);
  all.rows_at = [&](Value begin, int64_t count) {
    return std::vector<Value>{plan.rows_of(x, begin, count), plan.rows_of(dy, begin, count),
                              plan.row_weights(begin, count)};
  };
  all.work = [&](const ExpertRows& part) { return grad_of(attrs, part); };
  all.row_results = {{x.dtype(), Shape{all.rows, in[0].shape()[2]}}, {DType::kF32, Shape{all.rows}}};
  ChunkResults d = by_chunks(all, over.at_once);
  std::vector<Value> out{all_reduce(plan.collect(plan.sum_of_rows(d.rows[0], false), in[0].dtype()), over.width),
                         all_reduce(plan.collect_weights(d.rows[1]), over.width)};
  for (const Value& w : d.matrices) out.push_back(all_reduce(w, over.rows));
  return out;
}

// ---- one device, and the reference ----

// The experts of the operands are those of this device.
ExpertPlan plan_of(const FusedAttrs& attrs, const ExpertSpread& over, std::span<const Value> in, bool ragged = false) {
  return {in[1], in[2], in[3].size("e"), {.mesh_axes = over.expert, .ragged = ragged, .factor = factor_of(attrs)}};
}

std::vector<Value> reference_forward(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return forward_here(attrs, plan_of(attrs, {}, in), {.at_once = in[3].size("e")}, in);
}

std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return grad_here(attrs, plan_of(attrs, {}, in), {.at_once = in[3].size("e")}, in);
}

// ---- on a mesh ----

// `work` is forward_here or grad_here. TPUs alone send rows of any number.
template <class Work>
ExpertOp::PerDevice per_device(const Target& target, Work work) {
  const bool ragged = target.hardware == Hardware::kTpu;
  return [ragged, work](const FusedAttrs& attrs, const ExpertSpread& over, std::span<const Value> local) {
    return work(attrs, plan_of(attrs, over, local, ragged), over, local);
  };
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target& target) {
  auto form = kExperts.shard_forward(node, p, layout_of(node, p), per_device(target, forward_here));
  if (form && is_bounded(node.attr<FusedAttrs>())) form->out.push_back(form->out[0]);
  return form;
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target& target) {
  return kExperts.shard_grad(node, p, layout_of(node, p), per_device(target, grad_here));
}

const FusedOp kGrad{.name = "routed_experts_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .shard = shard_grad};

void vjp(VjpContext& c) { vjp_by(kGrad, c, {0, 2, 3, 4, 5}); }

const FusedOp kForward{.name = "routed_experts",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .shard = shard_forward};

}  // namespace

RoutedSum routed_experts(const RoutedTokens& tokens, const ExpertMatrices& m, const ExpertOptions& options,
                         Where where) {
  auto made = fused(tokens.x.graph(), kForward, {tokens.x, tokens.experts, tokens.weights, m.w_gate, m.w_up, m.w_down},
                    expert_attrs(m, options), where);
  return {made[0], made.size() > 1 ? made[1] : Value()};
}

}  // namespace fathom
