#include "fused/gathered_experts.h"

#include "fused/derivative.h"
#include "fused/expert_chunks.h"
#include "fused/fp8_linear.h"
#include "fused/gated_silu.h"
#include "graph/manual.h"
#include "graph/region_ops.h"

namespace fathom {
namespace {

// Operands of both ops: x [b s d], weights [b s e], w_gate [e f d], w_up [e f d], w_down [e d f]; the derivative adds
// dy [b s d].
constexpr ExpertOp::Choice kChoices[] = {{"b s e", DType::kF32}};
constexpr int kHasGradient[] = {0, 1, 2, 3, 4};
constexpr ExpertOp kExperts{.takes =
                                "gathered_experts takes x [b s d], f32 weights [b s e], w_gate and w_up [e f d], "
                                "w_down [e d f], all but the weights of one type",
                            .choices = kChoices,
                            .has_gradient = kHasGradient};

std::vector<TensorType> infer_forward(const InferContext& c) { return kExperts.infer_forward(c); }
std::vector<TensorType> infer_grad(const InferContext& c) { return kExperts.infer_grad(c); }

// ---- the work of one device ----

// Each expert makes a row of every token: of long sequences fewer experts at a time than gathering asks for, so that
// one of the arrays [b s e f] has at most this many bytes. A handful of them lie side by side, some in float32.
constexpr int64_t kActivatedBytes = int64_t{1} << 29;

int64_t few_enough(int64_t at_once, Value x, Value w_gate) {
  const int64_t of_one = x.size("b") * x.size("s") * w_gate.size("f") * static_cast<int64_t>(byte_size(x.dtype()));
  while (at_once % 2 == 0 && at_once * of_one > kActivatedBytes) at_once /= 2;
  return at_once;
}

// Runs `body` on the matrices of some experts after the others: its stacks are weights [e b s], w_gate, w_up, w_down.
ScanResult for_chunks(std::span<const Value> in, int64_t at_once, std::vector<Value> init,
                      const std::function<ScanBody(std::span<const Value> carry, std::span<const Value> chunk)>& body) {
  at_once = few_enough(at_once, in[0], in[2]);
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

// dot(x, w, axes) of the linear layers of some experts.
Value product(const FusedAttrs& attrs, Value x, Value w, std::string_view axes, std::optional<DType> out = {}) {
  return in_fp8(attrs) ? fp8_linear(x, w, axes, {.matrices = "e", .out = out}) : dot(x, w, axes, {.out = out});
}

// The gradient of such a matrix, from that of the product and the product's x.
Value outer(const FusedAttrs& attrs, Value dy, Value x) {
  return in_fp8(attrs) ? fp8_outer(dy, x, "b s") : dot(dy, x, "b s");
}

std::vector<Value> forward_here(const FusedAttrs& attrs, const ExpertSpread& over, std::span<const Value> in) {
  Value x = in[0];
  auto chunk_of = [&](std::span<const Value> carry, std::span<const Value> chunk) {
    Value gate = product(attrs, x, all_gather(chunk[1], "d", over.model), "d");  // [b s e f]
    Value up = product(attrs, x, all_gather(chunk[2], "d", over.model), "d");
    Value hidden = gated_silu(gate, up, in_float32(attrs));
    Value w_down = all_gather(chunk[3], "d", over.model);
    Value part = product(attrs, weighted(hidden, chunk[0], x.dtype()), w_down, "e f", DType::kF32);
    return ScanBody{.carry = {carry[0] + part}, .stack = {}};
  };
  Value sum = zeros(x.graph(), {DType::kF32, x.shape()});
  Value y = for_chunks(in, over.at_once, {sum}, chunk_of).carry[0];
  return {all_reduce(convert(y, x.dtype()), over.width)};
}

// With h = silu(g) u and y = sum over the experts of (weight h) Wd^T:
//   dh = weight dy Wd,  dweight = <dy Wd, h>,  dWd = dy^T (weight h),  dWg = dg^T x,  dWu = du^T x,  dx = dg Wg + du Wu
ScanBody grad_of_chunk(const FusedAttrs& attrs, const ExpertSpread& over, std::span<const Value> in, Value sum_dx,
                       std::span<const Value> chunk) {
  const Value &x = in[0], &dy = in[5];
  Value w_gate = all_gather(chunk[1], "d", over.model);
  Value w_up = all_gather(chunk[2], "d", over.model);
  Value gate = product(attrs, x, w_gate, "d"), up = product(attrs, x, w_up, "d");
  Value hidden = gated_silu(gate, up, in_float32(attrs));
  Value w_down = all_gather(chunk[3], "d", over.model);
  Value unscaled = convert(product(attrs, dy, w_down, "d"), DType::kF32);  // dy Wd [b s e f]
  Value d_weights = reduce_sum(unscaled * convert(hidden, DType::kF32), "f");
  auto [d_gate, d_up] = gated_silu_grad(gate, up, weighted(unscaled, chunk[0], x.dtype()), in_float32(attrs));
  Value dx = product(attrs, d_gate, w_gate, "e f", DType::kF32) + product(attrs, d_up, w_up, "e f", DType::kF32);
  std::vector<Value> d_matrices{outer(attrs, d_gate, x), outer(attrs, d_up, x),
                                transpose(outer(attrs, dy, weighted(hidden, chunk[0], x.dtype())), "e d f")};
  ScanBody out{.carry = {sum_dx + dx}, .stack = {transpose(d_weights, "e b s")}};
  for (const Value& d : d_matrices) out.stack.push_back(reduce_scatter(d, "d", over.model));
  return out;
}

std::vector<Value> grad_here(const FusedAttrs& attrs, const ExpertSpread& over, std::span<const Value> in) {
  auto chunk_of = [&](std::span<const Value> carry, std::span<const Value> chunk) {
    return grad_of_chunk(attrs, over, in, carry[0], chunk);
  };
  Value zero = zeros(in[0].graph(), {DType::kF32, in[0].shape()});
  ScanResult d = for_chunks(in, over.at_once, {zero}, chunk_of);
  std::vector<Value> out{all_reduce(convert(d.carry[0], in[0].dtype()), over.width)};
  for (const Value& stack : d.stack) out.push_back(merge_axes(stack, "chunk e", "e"));
  out[1] = all_reduce(transpose(out[1], "b s e"), over.width);
  for (size_t i = 2; i < 5; ++i) out[i] = all_reduce(out[i], over.rows);
  return out;
}

// ---- one device, and the reference ----

std::vector<Value> reference_forward(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return forward_here(attrs, {.at_once = in[2].size("e")}, in);
}

std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  return grad_here(attrs, {.at_once = in[2].size("e")}, in);
}

// ---- on a mesh ----

// Whether this op is for matrices that are split like this.
bool is_for(const std::optional<ExpertLayout>& l) { return l && l->expert.empty() && !l->model.empty(); }

std::optional<ShardedForm> shard_forward(const Node& node, const Partition& p, const Target&) {
  std::optional<ExpertLayout> layout = layout_of(node, p);
  if (!is_for(layout)) return std::nullopt;
  return kExperts.shard_forward(node, p, layout, forward_here);
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& p, const Target&) {
  std::optional<ExpertLayout> layout = layout_of(node, p);
  if (!is_for(layout)) return std::nullopt;
  return kExperts.shard_grad(node, p, layout, grad_here);
}

const FusedOp kGrad{.name = "gathered_experts_grad",
                    .infer = infer_grad,
                    .reference = reference_grad,
                    .vjp = nullptr,
                    .shard = shard_grad};

void vjp(VjpContext& c) { vjp_by(kGrad, c, {0, 1, 2, 3, 4}); }

const FusedOp kForward{.name = "gathered_experts",
                       .infer = infer_forward,
                       .reference = reference_forward,
                       .vjp = vjp,
                       .shard = shard_forward};

}  // namespace

bool can_gather_experts(const Partition& p, const Shape& x, const ExpertMatrices& m) {
  return is_for(expert_layout(p, x, m.gate_split, m.down_split));
}

Value gathered_experts(Value x, Value weights, const ExpertMatrices& m, const ExpertOptions& options, Where where) {
  return fused(x.graph(), kForward, {x, weights, m.w_gate, m.w_up, m.w_down}, expert_attrs(m, options), where)[0];
}

}  // namespace fathom
