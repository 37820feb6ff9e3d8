#include "fused/routed_experts.h"

#include <fmt/format.h>

#include <algorithm>

#include "fused/expert_exchange.h"
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

// Rows of one device, sorted by local expert, and their gated activation.
struct Hidden {
  Value rows;          // [m d]
  Value gate, up;      // [m f], in the type of the activation's arithmetic
  Value silu, hidden;  // silu(gate) and silu(gate) * up, same type
};

Hidden activate(const FusedAttrs& attrs, Value rows, Value w_gate, Value w_up, Value sizes) {
  Hidden h;
  h.rows = rows;
  h.gate = grouped_matmul(rows, w_gate, sizes);
  h.up = grouped_matmul(rows, w_up, sizes);
  if (in_float32(attrs)) {
    h.gate = convert(h.gate, DType::kF32);
    h.up = convert(h.up, DType::kF32);
  }
  h.silu = h.gate * logistic(h.gate);
  h.hidden = h.silu * h.up;
  return h;
}

std::vector<Value> forward_here(const FusedAttrs& attrs, const ExpertPlan& plan, std::span<const Value> in) {
  const Value &w_gate = in[3], &w_up = in[4], &w_down = in[5];
  DType dtype = in[0].dtype();
  Value received = plan.send(in[0]);
  Hidden h = activate(attrs, plan.rows_of(received), w_gate, w_up, plan.sizes());
  Value out = grouped_matmul(convert(h.hidden, dtype), w_down, plan.sizes());
  return {plan.collect(plan.sum_of_rows(out, true), dtype)};
}

// With h = silu(g) u and y = sum over experts of weight * (h Wd^T), of a row of a token:
//   dh = weight dy Wd,  dweight = <dy, h Wd^T> = <dy Wd, h>,  dWd = (weight dy)^T h
//   du = dh silu(g),    dg = dh u s (1 + g (1 - s)), s = logistic(g);  dx = dg Wg + du Wu
std::vector<Value> grad_here(const FusedAttrs& attrs, const ExpertPlan& plan, std::span<const Value> in) {
  const Value &w_gate = in[3], &w_up = in[4], &w_down = in[5];
  DType dtype = in[0].dtype();
  Value sizes = plan.sizes();
  Hidden h = activate(attrs, plan.rows_of(plan.send(in[0])), w_gate, w_up, sizes);
  Value d_rows = plan.rows_of(plan.send(in[6]));
  Value weight = plan.row_weights();  // [m] f32

  Value unscaled = grouped_matmul(d_rows, w_down, sizes, {.transposed = true});  // dy Wd [m f]
  Value products = convert(unscaled, DType::kF32) * convert(h.hidden, DType::kF32);
  Value d_weight = reduce_sum(products, "f");  // [m]
  Value d_hidden = convert(convert(unscaled, DType::kF32) * weight, h.gate.dtype());
  Value scaled = convert(convert(h.hidden, DType::kF32) * weight, dtype);
  Value d_down = grouped_outer(d_rows, scaled, sizes);

  Value s = logistic(h.gate);
  Value d_up = convert(d_hidden * h.silu, dtype);
  Value d_gate = convert(d_hidden * h.up * s * (h.gate * (1.0 - s) + 1.0), dtype);
  Value d_w_gate = grouped_outer(d_gate, h.rows, sizes);
  Value d_w_up = grouped_outer(d_up, h.rows, sizes);
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

using MeshAxes = std::vector<std::string>;

bool has(const MeshAxes& axes, const std::string& axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

// How tokens and matrices lie, and what each collective runs over.
struct Layout {
  Sharding tokens;  // of [b s *]: rows and places are split, the third axis is whole
  Sharding gate, down;
  MeshAxes expert;  // over which the experts are split: the axes of the exchange
  MeshAxes width;   // over which the inner width is split: partial sums of y, dx, dweights
  MeshAxes model;   // over which the matrices' model dimension is split: gathered, and their gradients scattered
  MeshAxes rows;    // over which tokens are split and matrices are whole: gradients summed
};

// Nothing when the matrices are split over axes over which tokens are not: their gradients would be summed twice.
std::optional<Layout> layout_of(const Node& node, const Partition& p) {
  const std::vector<Sharding>& shardings = node.attr<FusedAttrs>().shardings;
  Layout l;
  l.gate = shardings.at(0);
  l.down = shardings.at(1);
  l.tokens = p.activation(node.operands[1].shape());
  l.expert = l.gate.dims[0];
  l.width = l.gate.dims[1];
  l.model = l.gate.dims[2];
  MeshAxes token_axes;
  for (const MeshAxes& dim : l.tokens.dims) token_axes.insert(token_axes.end(), dim.begin(), dim.end());
  for (const MeshAxes* axes : {&l.expert, &l.model}) {
    for (const std::string& a : *axes) {
      if (!has(token_axes, a)) return std::nullopt;
    }
  }
  for (const std::string& a : l.width) {
    if (has(token_axes, a)) return std::nullopt;
  }
  for (const std::string& a : token_axes) {
    if (!has(l.expert, a) && !has(l.model, a)) l.rows.push_back(a);
  }
  if (l.down.dims[0] != l.expert || l.down.dims[1] != l.model || l.down.dims[2] != l.width) return std::nullopt;
  return l;
}

// The local operands with the matrices' model dimension whole.
std::vector<Value> gathered(const Layout& l, std::span<const Value> local) {
  std::vector<Value> out(local.begin(), local.end());
  for (size_t i = 3; i < 6; ++i) out[i] = all_gather(out[i], "d", l.model);
  return out;
}

ExpertPlan plan_of(const Layout& l, const Node& node, const Target& target, std::span<const Value> local) {
  return {local[1], local[2], node.operands[3].size("e"), {.mesh_axes = l.expert, .ragged = target.platform == "tpu"}};
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target& target) {
  std::optional<Layout> l = layout_of(node, p);
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
  std::optional<Layout> l = layout_of(node, p);
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
