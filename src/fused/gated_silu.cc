#include "fused/gated_silu.h"

#include <algorithm>

#include "fused/kernel_call.h"
#include "kernels/abi.h"

namespace fathom {
namespace {

// Operands: gate, up; of the derivative also that of the result. FusedAttrs::ints of both: {in_float32}.

bool in_float32(const FusedAttrs& attrs) { return attrs.ints.at(0) != 0; }

std::vector<TensorType> infer(const InferContext& c) {
  if (!is_float(c.type(0).dtype) || c.type(0) != c.type(1)) c.fail("gated_silu takes floats of one type and shape");
  return {c.type(0)};
}

std::vector<TensorType> infer_grad(const InferContext& c) {
  if (!is_float(c.type(0).dtype) || c.type(0) != c.type(1) || c.type(0).shape != c.type(2).shape) {
    c.fail("gated_silu_grad takes floats of one type and shape");
  }
  return {c.type(0), c.type(0)};
}

std::vector<Value> reference(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const DType inner = in_float32(attrs) ? DType::kF32 : in[0].dtype();
  Value gate = convert(in[0], inner), up = convert(in[1], inner);
  return {convert(gate * logistic(gate) * up, in[0].dtype())};
}

// With s = logistic(gate):  d_gate = d up s (1 + gate (1 - s)),  d_up = d gate s.
std::vector<Value> reference_grad(const std::vector<Value>& in, const FusedAttrs& attrs, Graph&) {
  const DType dtype = in[0].dtype(), inner = in_float32(attrs) ? DType::kF32 : dtype;
  Value gate = convert(in[0], inner), up = convert(in[1], inner), d = convert(in[2], inner);
  Value s = logistic(gate);
  return {convert(d * up * s * (gate * (1.0 - s) + 1.0), dtype), convert(d * (gate * s), dtype)};
}

void vjp(VjpContext& c) {
  if (!c.cotangent()) return;
  GatedSiluGrad d = gated_silu_grad(c.operand(0), c.operand(1), c.cotangent(), in_float32(c.node().attr<FusedAttrs>()));
  if (c.wants(0)) c.add(0, d.gate);
  if (c.wants(1)) c.add(1, d.up);
}

// The kernels' arithmetic is float32, for arrays of one type. Elsewhere the compiler fuses the ops; beside a product,
// though, XLA:CPU makes a loop of them that is ten times slower than memory.
bool suits_kernel(const std::vector<Value>& in, const FusedAttrs& attrs) {
  const DType dtype = in[0].dtype();
  return (dtype == DType::kF32 || in_float32(attrs)) &&
         std::ranges::all_of(in, [&](const Value& v) { return v.dtype() == dtype; });
}

std::vector<Value> kernel(LoweringContext& c, std::string& reason, std::string_view name) {
  if (!suits_kernel(c.operands(), c.node().attr<FusedAttrs>())) return plain_ops(c, reason);
  if (!takes_kernel(c, name, c.operands().size(), reason)) return {};
  return call_kernel(c, name);
}

std::vector<Value> silu_kernel(LoweringContext& c, std::string& reason) { return kernel(c, reason, abi::kGatedSilu); }

std::vector<Value> grad_kernel(LoweringContext& c, std::string& reason) {
  return kernel(c, reason, abi::kGatedSiluGrad);
}

// Each device makes its part, with the kernel: the same bits as one device. Where there is none the compiler splits the
// ops.
std::optional<ShardedForm> sharded(const Node& node, const Partition& partition, bool has_kernel,
                                   std::function<std::vector<Value>(std::span<const Value> local)> body) {
  if (!has_kernel || !suits_kernel(node.operands, node.attr<FusedAttrs>())) return std::nullopt;
  const Sharding split = partition.activation(node.operands[0].shape());
  return ShardedForm{.in = std::vector<Sharding>(node.operands.size(), split),
                     .out = std::vector<Sharding>(node.results.size(), split),
                     .body = std::move(body)};
}

std::optional<ShardedForm> shard(const Node& node, const Partition& partition, const Target& target) {
  return sharded(node, partition, target.has(abi::kGatedSilu),
                 [inside = in_float32(node.attr<FusedAttrs>())](std::span<const Value> local) {
                   return std::vector<Value>{gated_silu(local[0], local[1], inside)};
                 });
}

std::optional<ShardedForm> shard_grad(const Node& node, const Partition& partition, const Target& target) {
  return sharded(node, partition, target.has(abi::kGatedSiluGrad),
                 [inside = in_float32(node.attr<FusedAttrs>())](std::span<const Value> local) {
                   GatedSiluGrad d = gated_silu_grad(local[0], local[1], local[2], inside);
                   return std::vector<Value>{d.gate, d.up};
                 });
}

const FusedOp kGatedSilu{.name = "gated_silu",
                         .infer = infer,
                         .reference = reference,
                         .vjp = vjp,
                         .forms = {.cpu = silu_kernel, .gpu = plain_ops, .tpu = plain_ops},
                         .shard = shard,
                         .light = true};
const FusedOp kGatedSiluGrad{.name = "gated_silu_grad",
                             .infer = infer_grad,
                             .reference = reference_grad,
                             .vjp = nullptr,
                             .forms = {.cpu = grad_kernel, .gpu = plain_ops, .tpu = plain_ops},
                             .shard = shard_grad};

}  // namespace

Value gated_silu(Value gate, Value up, bool in_float32, Where where) {
  return fused(gate.graph(), kGatedSilu, {gate, up}, {.ints = {in_float32 ? 1 : 0}}, where)[0];
}

GatedSiluGrad gated_silu_grad(Value gate, Value up, Value d_result, bool in_float32, Where where) {
  auto d = fused(gate.graph(), kGatedSiluGrad, {gate, up, d_result}, {.ints = {in_float32 ? 1 : 0}}, where);
  return {.gate = d[0], .up = d[1]};
}

}  // namespace fathom
