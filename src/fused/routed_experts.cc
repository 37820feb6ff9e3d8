#include "fused/routed_experts.h"

#include "fused/expert_exchange.h"
#include "fused/gated_activation.h"
#include "fused/grouped_matmul.h"
#include "graph/fused_op.h"
#include "graph/manual.h"

namespace fathom {
namespace {

// Operands of both ops: x [b s d], experts [b s k], weights [b s k], w_gate [e f d], w_up [e f d], w_down [e d f]; the
// derivative adds dy [b s d]. FusedAttrs::ints: {activations_in_float32}; shardings: {of w_gate and w_up, of w_down}.

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

GatedActivation activate(const FusedAttrs& attrs, Value rows, Value w_gate, Value w_up, Value sizes) {
  return {grouped_matmul(rows, w_gate, sizes), grouped_matmul(rows, w_up, sizes), in_float32(attrs)};
}

std::vector<Value> forward_here(const FusedAttrs& attrs, const ExpertPlan& plan, std::span<const Value> in) {
  const Value &w_gate = in[3], &w_up = in[4], &w_down = in[5];
  DType dtype = in[0].dtype();
  Value received = plan.send(in[0]);
  GatedActivation h = activate(attrs, plan.rows_of(received), w_gate, w_up, plan.sizes());
  Value out = grouped_matmul(convert(h.hidden(), dtype), w_down, plan.sizes());
  return {plan.collect(plan.sum_of_rows(out, true), dtype)};
}

// With h = silu(g) u and y = sum over experts of weight * (h Wd^T), of a row of a token:
//   dh = weight dy Wd,  dweight = <dy, h Wd^T> = <dy Wd, h>,  dWd = (weight dy)^T h,  dx = dg Wg + du Wu
std::vector<Value> grad_here(const FusedAttrs& attrs, const ExpertPlan& plan, std::span<const Value> in) {
  const Value &w_gate = in[3], &w_up = in[4], &w_down = in[5];
  DType dtype = in[0].dtype();
  Value sizes = plan.sizes();
  Value rows = plan.rows_of(plan.send(in[0]));  // [m d]
  GatedActivation h = activate(attrs, rows, w_gate, w_up, sizes);
  Value d_rows = plan.rows_of(plan.send(in[6]));
  Value weight = plan.row_weights();  // [m] f32

  Value unscaled = grouped_matmul(d_rows, w_down, sizes, {.transposed = true});  // dy Wd [m f]
  Value products = convert(unscaled, DType::kF32) * convert(h.hidden(), DType::kF32);
  Value d_weight = reduce_sum(products, "f");  // [m]
  Value d_hidden = convert(unscaled, DType::kF32) * weight;
  Value scaled = convert(convert(h.hidden(), DType::kF32) * weight, dtype);
  Value d_down = grouped_outer(d_rows, scaled, sizes);

  auto [d_gate, d_up] = h.gradient(d_hidden, dtype);
  Value d_w_gate = grouped_outer(d_gate, rows, sizes);
  Value d_w_up = grouped_outer(d_up, rows, sizes);
  Value d_x = grouped_matmul(d_gate, w_gate, sizes, {.transposed = true}) +
              grouped_matmul(d_up, w_up, sizes, {.transposed = true});
  return {plan.collect(plan.sum_of_rows(d_x, false), dtype), plan.collect_weights(d_weight), d_w_gate, d_w_up, d_down};
}

// ---- one device, and the reference ----

std::vector<Value> reference_forward(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return forward_here(attrs, ExpertPlan(in[1], in[2], in[3].size("e"), {}), in);
}

std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return grad_here(attrs, ExpertPlan(in[1], in[2], in[3].size("e"), {}), in);
}

// ---- on a mesh ----

std::optional<ExpertLayout> layout_of(const Node& node, const Partition& p) {
  const std::vector<Sharding>& splits = node.attr<FusedAttrs>().shardings;
  return expert_layout(p, node.operands[0].shape(), splits.at(0), splits.at(1));
}

// The local operands with the matrices' model dimension whole.
std::vector<Value> gathered(const ExpertLayout& l, std::span<const Value> local) {
  std::vector<Value> out(local.begin(), local.end());
  for (size_t i = 3; i < 6; ++i) out[i] = all_gather(out[i], "d", l.model);
  return out;
}

ExpertPlan plan_of(const ExpertLayout& l, const Node& node, const Target& target, std::span<const Value> local) {
  return {local[1], local[2], node.operands[3].size("e"), {.mesh_axes = l.expert, .ragged = target.platform == "tpu"}};
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target& target) {
  std::optional<ExpertLayout> l = layout_of(node, p);
  if (!l) return std::nullopt;
  ShardedForm form;
  form.in = {l->tokens, l->tokens, l->tokens, l->gate, l->gate, l->down};
  form.out = {l->tokens};
  form.body = [l = *l, &node, target](std::span<const Value> local) {
    std::vector<Value> y = forward_here(node.attr<FusedAttrs>(), plan_of(l, node, target, local), gathered(l, local));
    return std::vector<Value>{all_reduce(y[0], l.width)};
  };
  return form;
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target& target) {
  std::optional<ExpertLayout> l = layout_of(node, p);
  if (!l) return std::nullopt;
  ShardedForm form;
  form.in = {l->tokens, l->tokens, l->tokens, l->gate, l->gate, l->down, l->tokens};
  form.out = {l->tokens, l->tokens, l->gate, l->gate, l->down};
  form.body = [l = *l, &node, target](std::span<const Value> local) {
    std::vector<Value> d = grad_here(node.attr<FusedAttrs>(), plan_of(l, node, target, local), gathered(l, local));
    for (size_t i = 0; i < 2; ++i) d[i] = all_reduce(d[i], l.width);
    for (size_t i = 2; i < 5; ++i) d[i] = all_reduce(reduce_scatter(d[i], "d", l.model), l.rows);
    return d;
  };
  return form;
}

void vjp(VjpContext& c);

const FusedOp kGrad{.name = "routed_experts_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .lower = nullptr,
                    .shard = shard_grad};

const FusedOp kForward{.name = "routed_experts",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .lower = nullptr,
                       .shard = shard_forward};

void vjp(VjpContext& c) {
  Value dy = c.cotangent();
  if (!dy) return;
  std::vector<Value> operands;
  for (int i = 0; i < 6; ++i) operands.push_back(c.operand(i));
  operands.push_back(dy);
  std::vector<Value> d = fused(dy.graph(), kGrad, std::move(operands), c.node().attr<FusedAttrs>(), Where::current());
  constexpr int kOf[] = {0, 2, 3, 4, 5};
  for (size_t i = 0; i < d.size(); ++i) c.add(kOf[i], d[i]);
}

}  // namespace

Value routed_experts(const RoutedTokens& tokens, const ExpertMatrices& m, const RoutedOptions& options, Where where) {
  FusedAttrs attrs{.ints = {options.activations_in_float32 ? 1 : 0}, .shardings = {m.gate_split, m.down_split}};
  return fused(tokens.x.graph(), kForward, {tokens.x, tokens.experts, tokens.weights, m.w_gate, m.w_up, m.w_down},
               std::move(attrs), where)[0];
}

}  // namespace fathom
