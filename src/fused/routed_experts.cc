#include "fused/routed_experts.h"

#include "fused/derivative.h"
#include "fused/expert_chunks.h"
#include "fused/expert_exchange.h"
#include "fused/gated_silu.h"
#include "fused/grouped_matmul.h"
#include "graph/fused_op.h"
#include "graph/manual.h"

namespace fathom {
namespace {

// Operands of both ops: x [b s d], experts [b s k], weights [b s k], w_gate [e f d], w_up [e f d], w_down [e d f]; the
// derivative adds dy [b s d]. FusedAttrs::ints: {activations_in_float32, gathered_bytes}; shardings: {of w_gate and
// w_up, of w_down}.

bool in_float32(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }

void check(const InferContext& c) {
  using Names = std::vector<std::string>;
  auto names = [&](int i) { return c.type(i).shape.names(); };
  if (names(0) != Names{"b", "s", "d"} || names(1) != Names{"b", "s", "k"} || names(2) != Names{"b", "s", "k"} ||
      names(3) != Names{"e", "f", "d"} || names(4) != Names{"e", "f", "d"} || names(5) != Names{"e", "d", "f"}) {
    c.fail("routed_experts takes x [b s d], experts and weights [b s k], w_gate and w_up [e f d], w_down [e d f]");
  }
  if (c.type(1).dtype != DType::kS32 || c.type(2).dtype != DType::kF32) {
    c.fail("routed_experts needs s32 experts and f32 weights");
  }
  for (int i = 3; i < 6; ++i) {
    if (c.type(i).dtype != c.type(0).dtype) c.fail("routed_experts needs rows and matrices of one type");
  }
}

std::vector<TensorType> infer_forward(const InferContext& c) {
  check(c);
  return {c.type(0)};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  check(c);
  return {c.type(0), c.type(2), c.type(3), c.type(4), c.type(5)};
}

// ---- the work of one device ----

// What the per-device code runs over; on one device nothing.
struct Spread {
  MeshAxes model, width, rows;  // see ExpertLayout
  int64_t at_once = 0;          // experts to gather at a time
};

// The matrices w_gate, w_up, w_down of some experts with their model dimension whole.
std::vector<Value> gathered(const Spread& over, std::vector<Value> matrices) {
  for (Value& w : matrices) w = all_gather(w, "d", over.model);
  return matrices;
}

struct Activated {
  Value gate, up, hidden;  // [m f]
};

Activated activate(const FusedAttrs& attrs, const ExpertRows& in, const std::vector<Value>& w) {
  Value gate = grouped_matmul(in.rows[0], w[0], in.sizes), up = grouped_matmul(in.rows[0], w[1], in.sizes);
  return {gate, up, gated_silu(gate, up, in_float32(attrs))};
}

// Rows [m d] -> their experts' outputs [m d].
ChunkResults forward_of(const FusedAttrs& attrs, const Spread& over, const ExpertRows& in) {
  std::vector<Value> w = gathered(over, in.matrices);
  return {.rows = {grouped_matmul(activate(attrs, in, w).hidden, w[2], in.sizes)}, .matrices = {}};
}

std::vector<Value> forward_here(const FusedAttrs& attrs, const ExpertPlan& plan, const Spread& over,
                                std::span<const Value> in) {
  ExpertRows all{.rows = {plan.rows_of(plan.send(in[0]))}, .sizes = plan.sizes(), .matrices = {in[3], in[4], in[5]}};
  ChunkResults out = by_chunks(all, over.at_once, {all.rows[0].type()},
                               [&](const ExpertRows& part) { return forward_of(attrs, over, part); });
  return {all_reduce(plan.collect(plan.sum_of_rows(out.rows[0], true), in[0].dtype()), over.width)};
}

// With h = silu(g) u and y = sum over experts of weight * (h Wd^T), of a row of a token:
//   dh = weight dy Wd,  dweight = <dy, h Wd^T> = <dy Wd, h>,  dWd = (weight dy)^T h,  dx = dg Wg + du Wu
// Rows are x [m d], dy [m d] and weight [m] f32; row-wise results dx [m d] and dweight [m].
ChunkResults grad_of(const FusedAttrs& attrs, const Spread& over, const ExpertRows& in) {
  const Value &rows = in.rows[0], &d_rows = in.rows[1], &weight = in.rows[2], &sizes = in.sizes;
  DType dtype = rows.dtype();
  std::vector<Value> w = gathered(over, in.matrices);
  Activated h = activate(attrs, in, w);

  Value unscaled = grouped_matmul(d_rows, w[2], sizes, {.transposed = true});  // dy Wd [m f]
  Value products = convert(unscaled, DType::kF32) * convert(h.hidden, DType::kF32);
  Value d_weight = reduce_sum(products, "f");  // [m]
  Value d_hidden = convert(unscaled, DType::kF32) * weight;
  Value scaled = convert(convert(h.hidden, DType::kF32) * weight, dtype);
  Value d_down = grouped_outer(d_rows, scaled, sizes);

  auto [d_gate, d_up] = gated_silu_grad(h.gate, h.up, d_hidden, in_float32(attrs));
  Value d_w_gate = grouped_outer(d_gate, rows, sizes);
  Value d_w_up = grouped_outer(d_up, rows, sizes);
  Value d_x = grouped_matmul(d_gate, w[0], sizes, {.transposed = true}) +
              grouped_matmul(d_up, w[1], sizes, {.transposed = true});
  ChunkResults out{.rows = {d_x, d_weight}, .matrices = {d_w_gate, d_w_up, d_down}};
  for (Value& d : out.matrices) d = reduce_scatter(d, "d", over.model);
  return out;
}

std::vector<Value> grad_here(const FusedAttrs& attrs, const ExpertPlan& plan, const Spread& over,
                             std::span<const Value> in) {
  ExpertRows all{.rows = {plan.rows_of(plan.send(in[0])), plan.rows_of(plan.send(in[6])), plan.row_weights()},
                 .sizes = plan.sizes(),
                 .matrices = {in[3], in[4], in[5]}};
  ChunkResults d = by_chunks(all, over.at_once, {all.rows[0].type(), all.rows[2].type()},
                             [&](const ExpertRows& part) { return grad_of(attrs, over, part); });
  std::vector<Value> out{all_reduce(plan.collect(plan.sum_of_rows(d.rows[0], false), in[0].dtype()), over.width),
                         all_reduce(plan.collect_weights(d.rows[1]), over.width)};
  for (const Value& w : d.matrices) out.push_back(all_reduce(w, over.rows));
  return out;
}

// ---- one device, and the reference ----

std::vector<Value> reference_forward(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return forward_here(attrs, ExpertPlan(in[1], in[2], in[3].size("e"), {}), {.at_once = in[3].size("e")}, in);
}

std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return grad_here(attrs, ExpertPlan(in[1], in[2], in[3].size("e"), {}), {.at_once = in[3].size("e")}, in);
}

// ---- on a mesh ----

std::optional<ExpertLayout> layout_of(const Node& node, const Partition& p) {
  const std::vector<Sharding>& splits = node.attr<FusedAttrs>().shardings;
  return expert_layout(p, node.operands[0].shape(), splits.at(0), splits.at(1));
}

ExpertPlan plan_of(const ExpertLayout& l, const Node& node, const Target& target, std::span<const Value> local) {
  return {local[1], local[2], node.operands[3].size("e"), {.mesh_axes = l.expert, .ragged = target.platform == "tpu"}};
}

// `here` is forward_here or grad_here.
template <class Here>
std::optional<ShardedForm> sharded(const Node& node, const Partition& p, const Target& target, Here here) {
  std::optional<ExpertLayout> l = layout_of(node, p);
  if (!l) return std::nullopt;
  ShardedForm form;
  form.in = {l->tokens, l->tokens, l->tokens, l->gate, l->gate, l->down};
  form.body = [l = *l, &node, target, here, parts = p.devices(l->model)](std::span<const Value> local) {
    const FusedAttrs& attrs = node.attr<FusedAttrs>();
    Spread over{.model = l.model,
                .width = l.width,
                .rows = l.rows,
                .at_once = experts_at_once(local[3], parts, attrs.ints.at(1))};
    return here(attrs, plan_of(l, node, target, local), over, local);
  };
  return form;
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target& target) {
  std::optional<ShardedForm> form = sharded(node, p, target, forward_here);
  if (form) form->out = {form->in[0]};
  return form;
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target& target) {
  std::optional<ShardedForm> form = sharded(node, p, target, grad_here);
  if (!form) return std::nullopt;
  form->out = {form->in[0], form->in[2], form->in[3], form->in[4], form->in[5]};
  form->in.push_back(form->in[0]);  // dy
  return form;
}

const FusedOp kGrad{.name = "routed_experts_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .lower = nullptr,
                    .shard = shard_grad};

void vjp(VjpContext& c) { vjp_by(kGrad, c, {0, 2, 3, 4, 5}); }

const FusedOp kForward{.name = "routed_experts",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .lower = nullptr,
                       .shard = shard_forward};

}  // namespace

Value routed_experts(const RoutedTokens& tokens, const ExpertMatrices& m, const RoutedOptions& options, Where where) {
  FusedAttrs attrs{.ints = {options.activations_in_float32 ? 1 : 0, options.gathered_bytes},
                   .shardings = {m.gate_split, m.down_split}};
  return fused(tokens.x.graph(), kForward, {tokens.x, tokens.experts, tokens.weights, m.w_gate, m.w_up, m.w_down},
               std::move(attrs), where)[0];
}

}  // namespace fathom
