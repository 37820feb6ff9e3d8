#include "fused/gathered_experts.h"

#include "fused/derivative.h"
#include "fused/expert_chunks.h"
#include "fused/gated_silu.h"
#include "graph/fused_op.h"
#include "graph/manual.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

// Operands of both ops: x [b s d], weights [b s e], w_gate [e f d], w_up [e f d], w_down [e d f]; the derivative adds
// dy [b s d]. FusedAttrs::ints: {activations_in_float32, gathered_bytes}; shardings: {of w_gate and w_up, of w_down}.

bool in_float32(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }

void check(const InferContext& c) {
  using Names = std::vector<std::string>;
  auto names = [&](int i) { return c.type(i).shape.names(); };
  if (names(0) != Names{"b", "s", "d"} || names(1) != Names{"b", "s", "e"} || names(2) != Names{"e", "f", "d"} ||
      names(3) != Names{"e", "f", "d"} || names(4) != Names{"e", "d", "f"}) {
    c.fail("gathered_experts takes x [b s d], weights [b s e], w_gate and w_up [e f d], w_down [e d f]");
  }
  if (c.type(1).dtype != DType::kF32) c.fail("gathered_experts needs f32 weights");
  for (int i = 2; i < 5; ++i) {
    if (c.type(i).dtype != c.type(0).dtype) c.fail("gathered_experts needs tokens and matrices of one type");
  }
}

std::vector<TensorType> infer_forward(const InferContext& c) {
  check(c);
  return {c.type(0)};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  check(c);
  return {c.type(0), c.type(1), c.type(2), c.type(3), c.type(4)};
}

// ---- the work of one device ----

// What the per-device code runs over; on one device nothing.
struct Spread {
  MeshAxes model, width, rows;  // see ExpertLayout
};

// Runs `body` on the matrices of some experts after the others: its stacks are weights [e b s], w_gate, w_up, w_down.
ScanResult for_chunks(std::span<const Value> in, int64_t at_once, std::vector<Value> init,
                      const std::function<ScanBody(std::span<const Value> carry, std::span<const Value> chunk)>& body) {
  const int64_t chunks = in[2].size("e") / at_once;
  std::vector<Value> stacks;
  for (Value v : {transpose(in[1], "e b s"), in[2], in[3], in[4]}) {
    stacks.push_back(split_axis(v, "e", {{"chunk", chunks}, {"e", at_once}}));
  }
  return scan(in[0].graph(), {.axis = "chunk", .length = chunks}, std::move(init), std::move(stacks),
              [&](Value, std::span<const Value> carry, std::span<const Value> chunk) { return body(carry, chunk); });
}

// [b s e f] times the experts' weights [e b s], rounded to `dtype`.
Value weighted(Value x, Value weights, DType dtype) {
  return convert(convert(x, DType::kF32) * transpose(weights, "b s e"), dtype);
}

std::vector<Value> forward_here(const FusedAttrs& attrs, const Spread& over, std::span<const Value> in,
                                int64_t at_once) {
  Value x = in[0];
  auto chunk_of = [&](std::span<const Value> carry, std::span<const Value> chunk) {
    Value gate = dot(x, all_gather(chunk[1], "d", over.model), "d");  // [b s e f]
    Value up = dot(x, all_gather(chunk[2], "d", over.model), "d");
    Value hidden = gated_silu(gate, up, in_float32(attrs));
    Value part =
        dot(weighted(hidden, chunk[0], x.dtype()), all_gather(chunk[3], "d", over.model), "e f", {.out = DType::kF32});
    return ScanBody{.carry = {carry[0] + part}, .stack = {}};
  };
  Value sum = zeros(x.graph(), {DType::kF32, x.shape()});
  Value y = for_chunks(in, at_once, {sum}, chunk_of).carry[0];
  return {all_reduce(convert(y, x.dtype()), over.width)};
}

// With h = silu(g) u and y = sum over the experts of (weight h) Wd^T:
//   dh = weight dy Wd,  dweight = <dy Wd, h>,  dWd = dy^T (weight h),  dWg = dg^T x,  dWu = du^T x,  dx = dg Wg + du Wu
ScanBody grad_of_chunk(const FusedAttrs& attrs, const Spread& over, std::span<const Value> in, Value sum_dx,
                       std::span<const Value> chunk) {
  const Value &x = in[0], &dy = in[5];
  Value w_gate = all_gather(chunk[1], "d", over.model);
  Value w_up = all_gather(chunk[2], "d", over.model);
  Value gate = dot(x, w_gate, "d"), up = dot(x, w_up, "d");
  Value hidden = gated_silu(gate, up, in_float32(attrs));
  Value unscaled = convert(dot(dy, all_gather(chunk[3], "d", over.model), "d"), DType::kF32);  // dy Wd [b s e f]
  Value d_weights = reduce_sum(unscaled * convert(hidden, DType::kF32), "f");
  auto [d_gate, d_up] = gated_silu_grad(gate, up, weighted(unscaled, chunk[0], x.dtype()), in_float32(attrs));
  Value dx = dot(d_gate, w_gate, "e f", {.out = DType::kF32}) + dot(d_up, w_up, "e f", {.out = DType::kF32});
  std::vector<Value> d_matrices{dot(d_gate, x, "b s"), dot(d_up, x, "b s"),
                                transpose(dot(dy, weighted(hidden, chunk[0], x.dtype()), "b s"), "e d f")};
  ScanBody out{.carry = {sum_dx + dx}, .stack = {transpose(d_weights, "e b s")}};
  for (const Value& d : d_matrices) out.stack.push_back(reduce_scatter(d, "d", over.model));
  return out;
}

std::vector<Value> grad_here(const FusedAttrs& attrs, const Spread& over, std::span<const Value> in, int64_t at_once) {
  auto chunk_of = [&](std::span<const Value> carry, std::span<const Value> chunk) {
    return grad_of_chunk(attrs, over, in, carry[0], chunk);
  };
  Value zero = zeros(in[0].graph(), {DType::kF32, in[0].shape()});
  ScanResult d = for_chunks(in, at_once, {zero}, chunk_of);
  std::vector<Value> out{all_reduce(convert(d.carry[0], in[0].dtype()), over.width)};
  for (const Value& stack : d.stack) out.push_back(merge_axes(stack, "chunk e", "e"));
  out[1] = all_reduce(transpose(out[1], "b s e"), over.width);
  for (size_t i = 2; i < 5; ++i) out[i] = all_reduce(out[i], over.rows);
  return out;
}

// ---- one device, and the reference ----

std::vector<Value> reference_forward(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return forward_here(attrs, {}, in, in[2].size("e"));
}

std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return grad_here(attrs, {}, in, in[2].size("e"));
}

// ---- on a mesh ----

std::optional<ExpertLayout> layout_of(const Partition& p, const Shape& x, const Sharding& gate, const Sharding& down) {
  std::optional<ExpertLayout> l = expert_layout(p, x, gate, down);
  if (l && l->expert.empty() && !l->model.empty()) return l;
  return std::nullopt;
}

// `here` is forward_here or grad_here.
template <class Here>
std::optional<ShardedForm> sharded(const Node& node, const Partition& p, Here here) {
  const FusedAttrs& attrs = node.attr<FusedAttrs>();
  std::optional<ExpertLayout> l = layout_of(p, node.operands[0].shape(), attrs.shardings.at(0), attrs.shardings.at(1));
  if (!l) return std::nullopt;
  ShardedForm form;
  form.in = {l->tokens, l->tokens, l->gate, l->gate, l->down};
  form.body = [&attrs, here, over = Spread{l->model, l->width, l->rows},
               parts = p.devices(l->model)](std::span<const Value> local) {
    return here(attrs, over, local, experts_at_once(local[2], parts, attrs.ints.at(1)));
  };
  form.out = form.in;
  return form;
}

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target&) {
  std::optional<ShardedForm> form = sharded(node, p, forward_here);
  if (form) form->out.resize(1);
  return form;
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target&) {
  std::optional<ShardedForm> form = sharded(node, p, grad_here);
  if (form) form->in.push_back(form->in[0]);  // dy
  return form;
}

const FusedOp kGrad{.name = "gathered_experts_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .lower = nullptr,
                    .shard = shard_grad};

void vjp(VjpContext& c) { vjp_by(kGrad, c, {0, 1, 2, 3, 4}); }

const FusedOp kForward{.name = "gathered_experts",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .lower = nullptr,
                       .shard = shard_forward};

}  // namespace

bool can_gather_experts(const Partition& p, const Shape& x, const ExpertMatrices& m) {
  return layout_of(p, x, m.gate_split, m.down_split).has_value();
}

Value gathered_experts(Value x, Value weights, const ExpertMatrices& m, const GatheredOptions& options, Where where) {
  FusedAttrs attrs{.ints = {options.activations_in_float32 ? 1 : 0, options.gathered_bytes},
                   .shardings = {m.gate_split, m.down_split}};
  return fused(x.graph(), kForward, {x, weights, m.w_gate, m.w_up, m.w_down}, std::move(attrs), where)[0];
}

}  // namespace fathom
